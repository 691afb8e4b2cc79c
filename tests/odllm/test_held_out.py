"""No calibration and no recovery meets a held-out item: here each is unique to its user, and a token names it."""

import numpy as np
import pytest
import torch

from compression.calibration import CalibrationBatch
from compression.config import preset
from compression.recovery_config import RecoveryConfig
from lcrec.calibration import CalibrationRequest, choose_calibration
from lcrec.dataset import Dataset, Item, ItemCodes, save_dataset
from lcrec.prompt import Prompt
from odllm import calibrating, compressing, judging
from odllm.calibrating import Calibrated
from odllm.console import progress_bar
from odllm.studies.making import early_part

USERS, SHARED = 60, 30
"""Items: what users share, then a validation item for each, then a test item for each."""
ITEMS = SHARED + 2 * USERS
PROMPT = Prompt((1,), (), (), 4, (ITEMS, 2), 10)
FIRST = PROMPT.first_code_token
EVERYTHING = 10**6


@pytest.fixture
def dataset():
    random = np.random.default_rng(2)
    sequences = tuple(
        np.concatenate([random.integers(0, SHARED, random.integers(1, 15)), [SHARED + user, SHARED + USERS + user]])
        for user in range(USERS)
    )
    codes = np.stack([np.arange(ITEMS), np.arange(ITEMS) % 2], axis=1).astype(np.int32)
    return Dataset(
        "unique",
        tuple(Item(f"i{row}", f"Item {row}") for row in range(ITEMS)),
        tuple(f"u{user}" for user in range(USERS)),
        tuple(sequence.astype(np.int32) for sequence in sequences),
        ItemCodes(codes, (ITEMS, 2)),
    )


def items_in(batches):
    """Return the items that any position of the batches names, padding included."""
    ids = np.concatenate([np.asarray(getattr(b, "ids", getattr(b, "input_ids", None))).ravel() for b in batches])
    return set((ids[(ids >= FIRST) & (ids < FIRST + ITEMS)] - FIRST).tolist())


@pytest.mark.parametrize("choice", ["covering", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_no_choice_of_all_users_sequences_holds_one(dataset, choice, seed):
    request = CalibrationRequest(sequences=EVERYTHING, choice=choice)
    chosen = choose_calibration(dataset, [PROMPT], request, batch_size=8, seed=seed)
    assert items_in(chosen.batches) == set(range(SHARED))


def test_no_training_or_recovery_sequence_holds_one(dataset):
    batches = calibrating.sequence_batches(dataset, PROMPT, 8, 0)
    assert items_in(batches) == set(range(SHARED))


def test_the_judge_of_trials_reads_validation_items_and_no_test_item(dataset, make_model, monkeypatch):
    read, model = [], make_model(FIRST + sum(PROMPT.code_sizes))
    monkeypatch.setattr(judging, "CodeLogits", lambda *_: lambda batch, at: read.append(batch) or logits(batch, at))

    def logits(batch, at):
        return torch.zeros(int(at.sum()), PROMPT.code_rows)

    judging.validation_surprise(dataset, PROMPT)(model)
    assert set(range(SHARED, SHARED + USERS)) <= items_in(read) <= set(range(SHARED + USERS))


@pytest.fixture
def folders(dataset, make_model_folder, tmp_path):
    model, _ = make_model_folder(prompt=PROMPT)
    save_dataset(dataset, tmp_path / "dataset")
    return model, tmp_path / "dataset"


@pytest.fixture
def seen(monkeypatch):
    """All batches that reach the compression and the recovery, and all targets that a validation asks about."""
    found = {"compress": [], "gradients": [], "recover": [], "validated": []}
    compress, recover, evaluate = compressing.compress_checkpoint, compressing.recover, judging.evaluate

    def watch(name, function):
        def watched(*arguments, **options):
            for argument in arguments:
                if isinstance(argument, list) and isinstance(argument[0], CalibrationBatch):
                    found[name] += argument
            return function(*arguments, **options)

        return watched

    def watched_evaluate(ranker, histories, targets, codes):
        found["validated"] += targets.tolist()
        for history in histories:
            assert set(history.tolist()) <= set(range(SHARED))
        return evaluate(ranker, histories, targets, codes)

    monkeypatch.setattr(compressing, "compress_checkpoint", watch("compress", compress))
    monkeypatch.setattr(calibrating, "output_importance", watch("gradients", calibrating.output_importance))
    monkeypatch.setattr(compressing, "recover", watch("recover", recover))
    monkeypatch.setattr(judging, "evaluate", watched_evaluate)
    return found


def test_what_compress_and_recover_read_holds_none_and_validation_asks_for_no_test_item(folders, seen, tmp_path):
    model, dataset = folders
    compressing.compress_folder(
        Calibrated(model, dataset, CalibrationRequest(sequences=EVERYTHING)),
        tmp_path / "small",
        config=preset("default"),
        recovery=RecoveryConfig(max_steps=1, validations=1),
        progress=progress_bar,
    )
    compressing.recover_folder(
        tmp_path / "small",
        model,
        dataset,
        tmp_path / "recovered",
        config=RecoveryConfig(max_steps=1, validations=1),
        progress=progress_bar,
    )
    for name in ("compress", "gradients", "recover"):
        assert items_in(seen[name]) == set(range(SHARED)), name
    assert set(seen["validated"]) == set(range(SHARED, SHARED + USERS))


def test_a_compression_reports_its_calibration_and_its_recovery(folders, tmp_path):
    model, dataset = folders
    record = compressing.compress_folder(
        Calibrated(model, dataset, CalibrationRequest(tokens=400)),
        tmp_path / "small",
        config=preset("whitened"),
        recovery=RecoveryConfig(max_steps=2, validations=1),
        progress=progress_bar,
    )
    assert record["calibration"]["tokens"] == record["tokens"]
    assert record["calibration"]["choice"] == "covering"
    assert record["calibration"]["code_tokens_of_data"] == (SHARED, 2)
    assert (record["recovery"]["method"], record["recovery"]["steps"]) == ("factors", 2)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_early_histories_of_the_streaming_study_hold_none(dataset, share):
    early = early_part(dataset, share)
    chosen = choose_calibration(early, [PROMPT], CalibrationRequest(sequences=EVERYTHING), batch_size=8)
    assert items_in(chosen.batches) <= set(range(SHARED))
    assert items_in(calibrating.sequence_batches(early, PROMPT, 8, 0)) <= set(range(SHARED))
