import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, top_k_accuracy_score

from lcrec.metrics import NOT_FOUND, bootstrap_interval, hit_rate, ndcg, summarize

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
