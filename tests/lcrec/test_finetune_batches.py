import msgspec
import numpy as np
import pytest

from lcrec.finetune.batches import pad, plan_epoch, share_of
from lcrec.finetune.config import FineTuneConfig
from lcrec.tasks.encoding import EncodedSample

CONFIG = FineTuneConfig(batch_tokens=1000, device_tokens=250)


@pytest.fixture
def lengths():
    return np.random.default_rng(0).integers(10, 120, 600)


def flat(plan):
    return [int(i) for step in plan.steps for batch in step for i in batch]


def test_every_sample_is_in_one_batch(lengths):
    assert sorted(flat(plan_epoch(lengths, CONFIG, 0))) == list(range(600))


def test_no_batch_is_over_the_devices_budget(lengths):
    for step in plan_epoch(lengths, CONFIG, 0).steps:
        assert all(len(batch) * lengths[batch].max() <= 250 for batch in step)


def test_a_sample_longer_than_the_budget_is_alone():
    plan = plan_epoch([10, 300, 10], CONFIG, 0)
    assert [1] in [batch.tolist() for step in plan.steps for batch in step]


def test_a_step_has_about_the_tokens_that_were_asked_for(lengths):
    plan = plan_epoch(lengths, CONFIG, 0)
    tokens = [sum(int(lengths[batch].sum()) for batch in step) for step in plan.steps[:-1]]
    assert 850 < np.mean(tokens) < 1150


def test_a_step_has_about_the_samples_that_were_asked_for(lengths):
    plan = plan_epoch(lengths, msgspec.structs.replace(CONFIG, batch_tokens=None, batch_samples=32), 0)
    assert 27 < 600 / len(plan.steps) < 37


def test_samples_of_like_length_meet(lengths):
    plan = plan_epoch(lengths, CONFIG, 0)
    in_order = [np.arange(i, i + 4) for i in range(0, 600, 4)]
    unsorted = 1 - lengths.sum() / sum(4 * lengths[batch].max() for batch in in_order)
    assert plan.padding < 0.05 < unsorted
    assert plan.padding == pytest.approx(1 - plan.tokens / plan.computed_tokens)


def test_another_seed_is_another_order(lengths):
    assert flat(plan_epoch(lengths, CONFIG, 0)) == flat(plan_epoch(lengths, CONFIG, 0))
    assert flat(plan_epoch(lengths, CONFIG, 0)) != flat(plan_epoch(lengths, CONFIG, 1))


def test_every_process_has_as_many_batches_and_all_are_taken():
    step = [[i] for i in range(5)]
    shares = [share_of(step, 2, process) for process in (0, 1)]
    assert [len(share) for share in shares] == [3, 3]
    assert sorted(i for share in shares for batch in share for i in batch) == [0, 1, 2, 3, 4]


def test_padding_stands_on_the_right_and_carries_no_loss():
    samples = [EncodedSample(np.arange(1, n + 1), np.arange(n) >= 1, "seqrec") for n in (3, 5)]
    batch = pad(samples)
    assert batch.ids.tolist() == [[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]]
    assert batch.real.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert batch.predicted.tolist() == [[False, True, True, False, False], [False, True, True, True, True]]
