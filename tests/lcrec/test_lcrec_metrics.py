"""HR and NDCG as LC-Rec's test defines them, on cases worked out by hand.

Its definition, in our words: beams are sorted by score, equals in the order of the beams; with its filter, what is no
item gets the score -1000; every beam whose code string is the target's is a 1; hit@k is whether there is a 1 among the
first k, ndcg@k the sum of 1 / log2(place + 1) over them, places from 1.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcrec.evaluate import Ranking, evaluate
from lcrec.metrics import summarize

CUTOFFS = (1, 5, 10)


def by_hand(beams, target, items, *, filtered):
    """Return hit@k and ndcg@k of one user; `beams` are (code, score), in the order of the search."""
    scored = [(code, -1000.0 if filtered and code not in items else score) for code, score in beams]
    order = sorted(range(len(scored)), key=lambda beam: (-scored[beam][1], beam))
    hits = [scored[beam][0] == target for beam in order]
    figures = {f"hit_rate@{k}": float(any(hits[:k])) for k in CUTOFFS}
    return figures | {
        f"ndcg@{k}": sum(1 / math.log2(place + 1) for place, hit in enumerate(hits[:k], start=1) if hit)
        for k in CUTOFFS
    }


def ours(beams, target, items, *, filtered):
    """Return the same by our evaluation, whose rankers hand over beams from best to worst."""
    codes = np.array([code for code, _ in beams])
    ranking = Ranking(codes, np.array([code in items for code, _ in beams]))
    table = np.array(sorted(items))
    row = sorted(items).index(target)
    found = evaluate(
        lambda _: [ranking], [np.array([0])], np.array([row]), table, illegal="last" if filtered else "kept"
    ).summary()
    return {name: found[name] for name in summarize(np.array([0]))}


def falling(codes):
    return [(code, -0.5 * place) for place, code in enumerate(codes)]


CODES = [(a, b) for a in range(5) for b in range(5)]
ITEMS = set(CODES[:15])


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (1, {"hit_rate@1": 1, "hit_rate@5": 1, "hit_rate@10": 1, "ndcg@1": 1, "ndcg@5": 1, "ndcg@10": 1}),
        (5, {"hit_rate@1": 0, "hit_rate@5": 1, "hit_rate@10": 1, "ndcg@5": 0.386853, "ndcg@10": 0.386853}),
        (10, {"hit_rate@1": 0, "hit_rate@5": 0, "hit_rate@10": 1, "ndcg@5": 0, "ndcg@10": 0.289065}),
        (11, {"hit_rate@1": 0, "hit_rate@5": 0, "hit_rate@10": 0, "ndcg@5": 0, "ndcg@10": 0}),
    ],
)
def test_the_targets_place_decides(place, expected):
    others = [code for code in CODES[:14] if code != CODES[3]]
    beams = falling([*others[: place - 1], CODES[3], *others[place - 1 :]])
    found = ours(beams, CODES[3], ITEMS, filtered=False)
    assert found.items() >= {name: pytest.approx(value, abs=1e-6) for name, value in expected.items()}.items()
    assert found == pytest.approx(by_hand(beams, CODES[3], ITEMS, filtered=False))


@pytest.mark.parametrize("filtered", [False, True])
def test_what_is_no_item_takes_places_unless_filtered(filtered):
    beams = falling([CODES[20], CODES[21], CODES[22], CODES[0], CODES[23], CODES[1], CODES[7]])
    for target, kept, last in ((CODES[0], 4, 1), (CODES[7], 7, 3)):
        found = ours(beams, target, ITEMS, filtered=filtered)
        assert found["ndcg@10"] == pytest.approx(1 / math.log2((last if filtered else kept) + 1))
        assert found == pytest.approx(by_hand(beams, target, ITEMS, filtered=filtered))


def test_a_target_among_equals_keeps_the_order_of_the_beams():
    beams = [(CODES[4], -1.0), (CODES[2], -2.0), (CODES[6], -2.0), (CODES[1], -2.0)]
    for target, place in ((CODES[2], 2), (CODES[6], 3), (CODES[1], 4)):
        found = ours(beams, target, ITEMS, filtered=False)
        assert found["ndcg@5"] == pytest.approx(1 / math.log2(place + 1))
        assert found == pytest.approx(by_hand(beams, target, ITEMS, filtered=False))


def test_a_target_is_found_by_the_code_that_it_shares():
    table = np.array([CODES[0], CODES[3], CODES[3], CODES[5]])
    ranking = Ranking(np.array([CODES[0], CODES[3], CODES[5]]), np.ones(3, bool))
    users = [np.array([0])] * 3
    found = evaluate(lambda batch: [ranking] * len(batch), users, np.array([1, 2, 3]), table)
    assert found.ranks.tolist() == [1, 1, 2]  # both items with code 3, and the code is one place, not two


@given(
    st.permutations(CODES),
    st.integers(1, 20),
    st.lists(st.sampled_from([0.0, 0.5, 0.5, 1.0]), min_size=20, max_size=20),
    st.integers(0, 14),
    st.booleans(),
)
def test_any_beams_give_lc_recs_figures(codes, beams, gaps, target, filtered):
    scores = -np.cumsum(gaps[:beams])  # zeros are ties
    found = list(zip(codes[:beams], scores.tolist(), strict=True))
    assert ours(found, CODES[target], ITEMS, filtered=filtered) == pytest.approx(
        by_hand(found, CODES[target], ITEMS, filtered=filtered)
    )
