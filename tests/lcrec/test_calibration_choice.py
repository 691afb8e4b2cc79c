from dataclasses import replace

import numpy as np
import pytest

from lcrec.calibration import CalibrationRequest, choose_calibration
from lcrec.dataset import Dataset, Item, ItemCodes
from lcrec.errors import CalibrationChoiceError
from lcrec.prompt import Prompt

PROMPT = Prompt((1, 5), (2,), (3, 4), 5, (40, 8), 10)


@pytest.fixture
def skewed():
    """Users of all lengths; few items are in nearly every history, most are rare."""
    random = np.random.default_rng(5)
    popularity = 1 / np.arange(1, 201) ** 1.3
    lengths = random.integers(4, 20, 600)
    sequences = tuple(
        random.choice(200, length, p=popularity / popularity.sum()).astype(np.int32) for length in lengths
    )
    codes = np.stack([np.arange(200) // 5, np.arange(200) % 8], axis=1).astype(np.int32)
    items = tuple(Item(f"i{row}", "") for row in range(200))
    users = tuple(f"u{user}" for user in range(600))
    return Dataset("skewed", items, users, sequences, ItemCodes(codes, (40, 8)))


def lengths(calibration):
    return sorted(int(n) for batch in calibration.batches for n in batch.real.sum(axis=1))


def test_the_report_counts_what_the_batches_hold(skewed):
    calibration = choose_calibration(skewed, [PROMPT], CalibrationRequest(sequences=30), batch_size=8)
    report = calibration.report
    ids = np.concatenate([batch.ids[batch.real] for batch in calibration.batches])
    seen = [len(np.unique(ids[(ids >= low) & (ids < high)])) for low, high in ((10, 50), (50, 58))]
    in_training = skewed.codes.codes[np.concatenate(skewed.split().train)]
    there = [len(np.unique(level)) for level in in_training.T]
    assert report.code_tokens == tuple(seen)
    assert report.code_tokens_of_data == tuple(there)
    assert report.coverage == pytest.approx(sum(seen) / sum(there))
    assert report.tokens == len(ids)
    assert report.sequences == 30 == sum(len(batch.ids) for batch in calibration.batches)
    assert report.templates == (30,)


def test_covering_meets_more_tokens_and_comes_closer_to_the_data_than_drawing_alike(skewed):
    covering, alike = (
        [
            choose_calibration(
                skewed, [PROMPT], CalibrationRequest(sequences=40, choice=c), batch_size=8, seed=s
            ).report
            for s in range(5)
        ]
        for c in ("covering", "random")
    )
    assert np.mean([r.coverage for r in covering]) > np.mean([r.coverage for r in alike])
    assert np.mean([r.distance for r in covering]) < np.mean([r.distance for r in alike])


def test_lengths_follow_the_data(skewed):
    report = choose_calibration(skewed, [PROMPT], CalibrationRequest(sequences=100), batch_size=8).report
    assert report.mean_items == pytest.approx(report.mean_items_of_data, rel=0.01)


def test_every_window_is_chosen_once_at_most(skewed):
    """Codes that name the item and items that occur once: a window taken twice would show a token twice."""
    users, size = 50, 12
    sequences = tuple(np.arange(user * size, (user + 1) * size, dtype=np.int32) for user in range(users))
    codes = np.stack([np.arange(users * size), np.zeros(users * size)], axis=1).astype(np.int32)
    items = tuple(Item(f"i{row}", "") for row in range(users * size))
    data = Dataset("once", items, tuple(map(str, range(users))), sequences, ItemCodes(codes, (users * size, 1)))
    prompt = Prompt((1,), (), (), 4, (users * size, 1), 10)
    for choice in ("covering", "random"):
        batches = choose_calibration(
            data, [prompt], CalibrationRequest(sequences=80, choice=choice), batch_size=8
        ).batches
        tokens = np.concatenate([batch.ids[batch.predicted] for batch in batches])
        tokens = tokens[tokens < 10 + users * size]
        assert len(np.unique(tokens)) == len(tokens)


@pytest.mark.parametrize("choice", ["covering", "random"])
def test_a_choice_is_repeatable_by_seed(skewed, choice):
    one, two, other = (
        choose_calibration(skewed, [PROMPT], CalibrationRequest(sequences=40, choice=choice), batch_size=8, seed=seed)
        for seed in (3, 3, 4)
    )
    assert one.report == two.report
    assert all((a.ids == b.ids).all() for a, b in zip(one.batches, two.batches, strict=True))
    assert one.report != other.report


@pytest.mark.parametrize("choice", ["covering", "random"])
def test_a_budget_of_tokens_is_met_within_a_tenth(skewed, choice):
    report = choose_calibration(skewed, [PROMPT], CalibrationRequest(tokens=1500, choice=choice), batch_size=8).report
    assert report.tokens == pytest.approx(1500, rel=0.1)


@pytest.mark.parametrize("choice", ["covering", "random"])
def test_more_sequences_than_there_are_takes_all(skewed, choice):
    report = choose_calibration(
        skewed, [PROMPT], CalibrationRequest(sequences=10**6, choice=choice), batch_size=8
    ).report
    assert report.sequences == report.candidates
    assert (report.coverage, report.distance) == (1, 0)


def test_templates_meet_every_length_equally_often(skewed):
    other = replace_prefix(PROMPT)
    calibration = choose_calibration(skewed, [PROMPT, other], CalibrationRequest(sequences=120), batch_size=8)
    by_prefix = {prefix: [] for prefix in (1, 6)}
    for batch in calibration.batches:
        for row, real in zip(batch.ids, batch.real, strict=True):
            by_prefix[int(row[0])].append(int(real.sum()))
    assert calibration.report.templates == (60, 60)
    assert np.mean(by_prefix[1]) == pytest.approx(np.mean(by_prefix[6]), rel=0.03)


def replace_prefix(prompt):
    return Prompt((6, 5), prompt.separator_ids, prompt.suffix_ids, prompt.max_items, prompt.code_sizes, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one budget: give either sequences or tokens"),
        ({"sequences": 1, "tokens": 1}, "one budget"),
        ({"sequences": 0}, "expected at least 1"),
        ({"sequences": 8, "choice": "best"}, "calibration is 'best'; expected one of covering, random"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(CalibrationChoiceError, match=message):
        CalibrationRequest(**options)


def test_users_too_short_to_train_on_are_said(skewed):
    short = replace(skewed, sequences=tuple(sequence[:3] for sequence in skewed.sequences))
    with pytest.raises(CalibrationChoiceError, match="no training part of two items or more"):
        choose_calibration(short, [PROMPT], CalibrationRequest(sequences=4), batch_size=8)
