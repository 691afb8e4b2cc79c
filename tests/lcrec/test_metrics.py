import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, top_k_accuracy_score

from lcrec.metrics import (
    NOT_FOUND,
    bootstrap_interval,
    hit_rate,
    ndcg,
    ratio_interval,
    summarize,
    summary_intervals,
)

ITEMS = 30


def scores_with_target_at(ranks):
    """One row a user in which item 0 is the target and stands at the given rank."""
    scores = np.zeros((len(ranks), ITEMS))
    for row, rank in zip(scores, ranks, strict=True):
        order = np.insert(np.arange(1, ITEMS), rank, 0)
        row[order] = np.arange(ITEMS, 0, -1)
    return scores


@given(st.lists(st.integers(0, ITEMS - 1), min_size=2, max_size=20), st.sampled_from([1, 5, 10]))
def test_equal_to_scikit_learn(ranks, k):
    scores = scores_with_target_at(ranks)
    truth = np.zeros_like(scores)
    truth[:, 0] = 1
    assert ndcg(np.array(ranks), k).mean() == pytest.approx(ndcg_score(truth, scores, k=k))
    expected = top_k_accuracy_score(np.zeros(len(ranks)), scores, k=k, labels=np.arange(ITEMS))
    assert hit_rate(np.array(ranks), k).mean() == pytest.approx(expected)


def test_a_target_that_was_not_returned_counts_nothing():
    found = summarize(np.array([NOT_FOUND, 0, 9, 10]))
    assert found["hit_rate@10"] == pytest.approx(0.5)
    assert found["hit_rate@1"] == pytest.approx(0.25)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / np.log2(11)) / 4)


def test_the_interval_holds_the_mean_and_narrows_with_users():
    values = np.random.default_rng(0).random(400)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert bootstrap_interval(values) == (low, high)


def test_the_interval_is_that_of_users_drawn_one_by_one():
    random = np.random.default_rng(1)
    values = random.choice([0.0, 0.3, 1.0], 500, p=[0.8, 0.15, 0.05])
    means = values[random.integers(0, 500, (4000, 500))].mean(axis=1)
    assert bootstrap_interval(values, samples=4000) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.002)


def test_the_ratio_interval_is_that_of_pairs_drawn_one_by_one():
    random = np.random.default_rng(2)
    reference = random.choice([0.0, 0.5, 1.0], 600)
    values = np.where(random.random(600) < 0.9, reference, 0.0)
    users = random.integers(0, 600, (4000, 600))
    ratios = values[users].mean(axis=1) / reference[users].mean(axis=1)
    found = ratio_interval(values, reference, samples=4000)
    assert found == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.003)


def test_a_pair_of_equals_has_the_ratio_one():
    values = np.random.default_rng(3).random(50)
    assert ratio_interval(values, values) == (1.0, 1.0)
    assert ratio_interval(values / 4, values) == pytest.approx((0.25, 0.25))


def test_pairing_narrows_the_ratio_interval():
    random = np.random.default_rng(4)
    reference = random.random(300)
    low, high = ratio_interval(reference + 0.01 * random.random(300), reference)
    apart_low, apart_high = ratio_interval(random.permutation(reference), reference)
    assert high - low < 0.1 * (apart_high - apart_low)


def test_runs_that_disagree_widen_the_ratio_interval():
    reference = np.random.default_rng(5).random(2000)
    low, high = ratio_interval(np.stack([0.8 * reference, reference]), reference)
    assert (low, high) == pytest.approx((0.8, 1.0))


def test_no_ratio_to_nothing():
    with pytest.raises(ValueError, match="0 for every user"):
        ratio_interval(np.ones(3), np.zeros(3))


def test_every_figure_has_the_interval_of_its_own_values():
    ranks = np.random.default_rng(6).integers(-1, 30, 400)
    found, figures = summary_intervals(ranks), summarize(ranks)
    assert set(found) == {f"{name}@{k}_interval" for name in ("hit_rate", "ndcg") for k in (1, 5, 10)}
    assert found["ndcg@5_interval"] == bootstrap_interval(ndcg(ranks, 5))
    assert all(low <= figures[name.removesuffix("_interval")] <= high for name, (low, high) in found.items())


def test_several_templates_count_as_a_users_average():
    ranks = np.array([[0, 3, NOT_FOUND], [NOT_FOUND, 3, NOT_FOUND]])
    found = summarize(ranks)
    assert found["hit_rate@5"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found == pytest.approx({name: np.mean([summarize(row)[name] for row in ranks]) for name in found})
    # Users, not users times templates, are drawn: asking twice the same does not narrow the interval.
    assert summary_intervals(np.stack([ranks[0], ranks[0]])) == summary_intervals(ranks[0])
