import hashlib

import pytest

from odllm_artifact import (
    ArtifactError,
    partial_folder,
    read_json,
    resolve_output,
    sha256_file,
    sha256_folder,
    write_folder,
    write_json,
)


def write_and_fail(path, error):
    with write_folder(path, overwrite=True) as folder:
        (folder / "a").write_text("new")
        raise error


def test_a_folder_appears_when_the_block_ends_well(tmp_path):
    with write_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_nothing_appears_when_it_does_not(tmp_path, error):
    with pytest.raises(error):
        write_and_fail(tmp_path / "out", error)
    assert list(tmp_path.iterdir()) == []


def test_the_old_folder_stays_until_the_new_one_is_whole(tmp_path):
    with write_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(tmp_path / "out", KeyboardInterrupt)
    assert (tmp_path / "out" / "a").read_text() == "old"
    with write_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "b").write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


def test_finished_work_takes_its_checkpoints_away(tmp_path):
    (partial_folder(tmp_path / "out") / "checkpoint").write_text("x")
    with write_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_are_as_readable_as_their_folder(tmp_path):
    with write_folder(tmp_path / "out") as folder:
        (folder / "private").write_text("x")
        (folder / "private").chmod(0o600)
    mode = (tmp_path / "out").stat().st_mode
    assert (tmp_path / "out" / "private").stat().st_mode & 0o777 == mode & 0o666


def test_what_is_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="is a file"):
        resolve_output(tmp_path / "file", overwrite=True)
    with pytest.raises(ArtifactError, match="cannot create"):
        resolve_output(tmp_path / "file" / "out", overwrite=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("x")
    with pytest.raises(ArtifactError, match="--overwrite"):
        resolve_output(tmp_path / "full", overwrite=False)
    assert resolve_output(tmp_path / "full", overwrite=True)


def test_hashes(tmp_path):
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "a").write_bytes(b"one")
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"one").hexdigest()
    lines = f"{hashlib.sha256(b'one').hexdigest()}  a\n{hashlib.sha256(b'two').hexdigest()}  b\n"
    assert sha256_folder(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()
    with pytest.raises(ArtifactError, match="cannot read"):
        sha256_file(tmp_path / "c")
    with pytest.raises(ArtifactError, match="not a folder"):
        sha256_folder(tmp_path / "a")


def test_json_round_trip_and_words_for_damage(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, 2.5, None]}
    (tmp_path / "cut.json").write_text('{"a": [1,\n 2')
    with pytest.raises(ArtifactError, match=r"cut\.json is not valid JSON.*line 2"):
        read_json(tmp_path / "cut.json")
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    with pytest.raises(ArtifactError, match="not UTF-8"):
        read_json(tmp_path / "latin.json")
    with pytest.raises(ArtifactError, match="cannot read"):
        read_json(tmp_path / "none.json")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert read_json(tmp_path / "a.json") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
