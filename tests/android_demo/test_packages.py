import dataclasses

import pytest

from android_demo.tools import registries
from android_demo.tools.errors import FetchError
from android_demo.tools.packages import CACHE_VARIABLE, Package, fetch, is_fetched
from odllm_artifact import sha256_file


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    source = tmp_path / "source"
    source.write_bytes(b"an archive")

    def download(name, version, folder):
        (folder / f"{name}-{version}").write_bytes(source.read_bytes())
        return folder / f"{name}-{version}"

    def unpack(archive, folder):
        (folder / "kept").write_bytes(archive.read_bytes())

    return Package("thing", "1.0", sha256_file(source), download, unpack)


def test_package_is_downloaded_once(package):
    said = []
    fetch([package], said.append)
    fetch([package], said.append)
    assert said == ["fetching thing 1.0"]
    assert (package.folder / "kept").read_bytes() == b"an archive"
    assert is_fetched([package])


def test_other_archive_than_the_tested_one_is_refused_and_leaves_nothing(package, tmp_path):
    other = dataclasses.replace(package, sha256="0" * 64)
    with pytest.raises(FetchError, match=r"thing-1\.0 is not the archive that was tested"):
        fetch([other], str)
    assert list((tmp_path / "cache").iterdir()) == []


def test_ctrl_c_leaves_nothing_half_fetched(package, tmp_path):
    def interrupted(archive, folder):
        (folder / "half").write_bytes(b"")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch([dataclasses.replace(package, unpack=interrupted)], str)
    assert list((tmp_path / "cache").iterdir()) == []
    assert not is_fetched([package])


@pytest.mark.parametrize(("client", "download"), [("npm", registries.from_npm), ("apt-get", registries.from_debian)])
def test_missing_client_is_named(tmp_path, monkeypatch, client, download):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match=f"{client} is not here: install"):
        download("thing", "1.0", tmp_path)


def test_failing_client_is_told_with_its_words(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no route to host' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(FetchError, match=r"npm cannot fetch thing@1\.0 and said 'no route to host'"):
        registries.from_npm("thing", "1.0", tmp_path)
