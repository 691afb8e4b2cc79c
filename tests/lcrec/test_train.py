import errno

import msgspec
import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from compression.checkpoint import load_model
from lcrec.dataset import Dataset, Item, ItemCodes
from lcrec.errors import ItemCodesError, ModelError
from lcrec.model import find_preset
from lcrec.objective import Teacher, next_code_loss
from lcrec.prompt import PromptText, read_card
from lcrec.train import dataset_facts, train
from lcrec.windows import training_batches
from odllm_artifact import ArtifactError, sha256_file

FACTS = {"name": "ring"}


@pytest.fixture
def ring():
    """Users walk round a ring of 12 items: whoever has learned anything knows what comes next."""
    codes = np.array([[i // 4, i % 4] for i in range(12)], dtype=np.int32)
    random = np.random.default_rng(0)
    walks = tuple(
        ((start + np.arange(length)) % 12).astype(np.int32)
        for start, length in zip(random.integers(0, 12, 60), random.integers(4, 20, 60), strict=True)
    )
    items = tuple(Item(f"i{row}", f"Item {row}") for row in range(12))
    return Dataset("ring", items, tuple(f"u{user}" for user in range(60)), walks, ItemCodes(codes, (3, 4)))


@pytest.fixture
def preset():
    return msgspec.structs.replace(
        find_preset("tiny"),
        hidden=32,
        heads=2,
        kv_heads=1,
        intermediate=64,
        max_items=6,
        epochs=12,
        batch_windows=8,
        learning_rate=1e-2,
    )


def test_a_recommender_learns_what_follows(ring, preset, tmp_path):
    report = train(ring, preset, tmp_path / "model", facts=FACTS)
    assert report["validation_ndcg@10"] > 0.9
    assert report["history"][-1]["loss"] < report["history"][0]["loss"] * 0.7
    card = read_card(tmp_path / "model")
    assert card.prompt.code_sizes == (3, 4)
    assert card.dataset == FACTS
    assert load_model(tmp_path / "model").config.vocab_size == 3 + 7


def test_words_around_the_items_are_learned_too(ring, preset, tmp_path):
    text = PromptText("<s> watched", ",", "; next")
    report = train(ring, msgspec.structs.replace(preset, prompt_text=text), tmp_path / "model", facts=FACTS)
    assert report["validation_ndcg@10"] > 0.7  # a list in random order gets 0.45
    assert read_card(tmp_path / "model").prompt_text == text


def test_a_killed_training_goes_on_to_the_same_weights(ring, preset, tmp_path):
    preset = msgspec.structs.replace(preset, epochs=3)
    train(ring, preset, tmp_path / "whole", facts=FACTS)

    def stop(done, total, note=""):
        if done > 1.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ring, preset, tmp_path / "killed", facts=FACTS, progress=stop)
    assert not (tmp_path / "killed").exists()
    resumed = []
    train(ring, preset, tmp_path / "killed", facts=FACTS, progress=lambda done, *_: resumed.append(done))
    assert resumed[0] >= 1.0
    one, two = (torch.cat([p.flatten() for p in load_model(tmp_path / n).parameters()]) for n in ("whole", "killed"))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not (tmp_path / "killed.partial").exists()


def test_another_recipe_does_not_go_on_from_a_strangers_checkpoint(ring, preset, tmp_path):
    def stop(done, total, note=""):
        if done > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ring, preset, tmp_path / "model", facts=FACTS, progress=stop)
    seen = []
    other = msgspec.structs.replace(preset, hidden=16, epochs=1)
    train(ring, other, tmp_path / "model", facts=FACTS, progress=lambda done, *_: seen.append(done))
    assert seen[0] < 1


def test_training_stops_when_validation_stops_gaining(ring, preset, tmp_path):
    lazy = msgspec.structs.replace(preset, learning_rate=1e-9, patience=2, epochs=30)
    assert train(ring, lazy, tmp_path / "model", facts=FACTS)["epochs"] < 10


def test_items_are_left_out_and_others_every_epoch(ring, preset, tmp_path, monkeypatch):
    read = []

    def loss(model, batch, dropout, teacher):
        read.append(batch)
        return next_code_loss(model, batch, dropout, teacher)

    monkeypatch.setattr("lcrec.train.next_code_loss", loss)
    report = train(ring, msgspec.structs.replace(preset, epochs=3, left_out=0.5), tmp_path / "model", facts=FACTS)
    windows = training_batches(ring, read_card(tmp_path / "model").prompt, preset.batch_windows, seed=0)
    epochs = [read[start : start + len(windows)] for start in range(0, len(read), len(windows))]
    codes = [sum(int(batch.predicted.sum()) for batch in epoch) for epoch in epochs]
    assert len(epochs) == report["epochs"] == 3
    assert all(0.4 < count / sum(int(batch.predicted.sum()) for batch in windows) < 0.75 for count in codes)
    assert len(set(codes)) > 1


def test_a_dataset_without_codes_is_refused(ring, preset, tmp_path):
    from dataclasses import replace

    with pytest.raises(ItemCodesError, match="odllm codes"):
        train(replace(ring, codes=None), preset, tmp_path / "model", facts=FACTS)


def test_a_folder_in_the_way_is_refused_before_any_work(ring, preset, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "precious").write_text("x")
    with pytest.raises(ArtifactError, match="--overwrite"):
        train(ring, preset, tmp_path / "model", facts=FACTS)
    assert (tmp_path / "model" / "precious").read_text() == "x"


def test_an_unknown_preset_is_named():
    with pytest.raises(ModelError, match="'huge' is not one of tiny, small"):
        find_preset("huge")


def test_facts_name_the_data_by_hash(ring, tmp_path):
    from lcrec.dataset import save_dataset

    save_dataset(ring, tmp_path / "data")
    facts = dataset_facts(ring, tmp_path / "data")
    assert facts["codes.json_sha256"] == sha256_file(tmp_path / "data" / "codes.json")


def test_a_full_disk_leaves_no_half_checkpoint(ring, preset, tmp_path, monkeypatch):
    def full(path, _):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        train(ring, preset, tmp_path / "model", facts=FACTS)
    assert [path.name for path in tmp_path.rglob("*")] == ["model.partial"]


def test_a_model_that_cannot_be_written_is_said(ring, preset, tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(ModelError, match="No space left"):
        train(ring, msgspec.structs.replace(preset, epochs=1), tmp_path / "model", facts=FACTS)
    assert not (tmp_path / "model").exists()


def test_a_small_model_learns_from_a_teacher(ring, preset, tmp_path):
    train(ring, preset, tmp_path / "teacher", facts=FACTS)
    teacher = Teacher(load_model(tmp_path / "teacher"), read_card(tmp_path / "teacher").prompt, "f" * 64, weight=1.0)
    small = msgspec.structs.replace(preset, hidden=16)
    report = train(ring, small, tmp_path / "model", facts=FACTS, teacher=teacher)
    assert report["validation_ndcg@10"] > 0.9  # only the teacher said what follows: the weight of the codes is none
    assert report["teacher"] == {"sha256": "f" * 64, "weight": 1.0}
