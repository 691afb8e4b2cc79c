import gzip

import numpy as np
import pytest

from lcrec.dataset import load_dataset
from lcrec.importers.amazon import AMAZON2023
from lcrec.importers.synthetic import main, write_dump
from odllm_artifact import ArtifactError


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "dump"
    return folder, write_dump(folder, users=3000, items=600, seed=1)


def test_synthetic_dump_reads_as_amazons_of_2023(dump, tmp_path):
    folder, interactions = dump
    imported = AMAZON2023.read(folder / "Synthetic.csv.gz", meta=folder / "meta_Synthetic.jsonl.gz")
    dropped = imported.repairs["repeated_items"] + imported.repairs["interactions_outside_core"]
    assert imported.dataset.interactions + dropped == interactions
    assert "users_put_in_time_order" not in imported.repairs
    assert all(item.title and item.text for item in imported.dataset.items)
    imported.save(tmp_path / "data")
    assert load_dataset(tmp_path / "data").interactions == imported.dataset.interactions


def test_synthetic_items_follow_zipf_within_topics(dump):
    folder, _ = dump
    imported = AMAZON2023.read(folder / "Synthetic.csv.gz")
    counts = imported.dataset.popularity(exclude_last=0)
    rank = np.array([int(one.id[1:]) // 200 for one in imported.dataset.items])
    means = [counts[rank == place].mean() for place in range(3)]
    assert means == sorted(means, reverse=True)


def test_synthetic_dump_is_the_same_for_the_same_seed(dump, tmp_path):
    folder, _ = dump
    write_dump(tmp_path / "again", users=3000, items=600, seed=1)
    for name in ("Synthetic.csv.gz", "meta_Synthetic.jsonl.gz"):
        assert gzip.decompress((folder / name).read_bytes()) == gzip.decompress(
            (tmp_path / "again" / name).read_bytes()
        )


def test_synthetic_dump_replaces_nothing_unasked(dump):
    folder, _ = dump
    with pytest.raises(ArtifactError, match="--overwrite"):
        write_dump(folder, users=10, items=200)


@pytest.mark.parametrize("few", [("--users", "0"), ("--items", "100")])
def test_synthetic_dump_of_too_little_is_refused_in_words(few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["synthetic", *few, "--out", str(tmp_path / "dump")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "at least 1 and 200 are needed" in capsys.readouterr().err
