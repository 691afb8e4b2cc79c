"""When two ranked lists are the same list, though computed by programs that add in another order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def overlap(rows: NDArray[np.int64], expected_rows: NDArray[np.int64]) -> float:
    """Return which share of the expected items is in a list; 1 where nothing is expected and nothing came."""
    if not len(expected_rows):
        return float(not len(rows))
    return len(np.intersect1d(rows, expected_rows)) / len(expected_rows)


def list_difference(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    expected_rows: NDArray[np.int64],
    expected_scores: NDArray[np.float32],
    *,
    tolerance: float,
    margin: float = np.inf,
) -> str | None:
    """Say how a list differs from the expected one beyond ties, or None.

    Two lists are equal up to ties when they are as long, an item that is in both has one score, the scores agree
    position by position, and an item that is in only one stands level with the list's end. The last two are not
    asked where the search itself met a tie at its edge: a beam chosen otherwise there leads to other items further
    down.

    Args:
        rows: `[k]` item rows, best first.
        scores: `[k]` their scores.
        expected_rows: `[k]`.
        expected_scores: `[k]`.
        tolerance: within which two scores count as equal.
        margin: of the expected search (`lcrec.search.SearchResult.margin`), where it is known.
    """
    if len(rows) != len(expected_rows):
        return f"{len(rows)} items instead of {len(expected_rows)}"
    ours = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    theirs = dict(zip(expected_rows.tolist(), expected_scores.tolist(), strict=True))
    for row in ours.keys() & theirs.keys():
        if abs(ours[row] - theirs[row]) > tolerance:
            return f"item row {row} has score {ours[row]:.6f} instead of {theirs[row]:.6f}"
    if margin <= tolerance:
        return None
    wrong = np.flatnonzero(~(np.abs(scores - expected_scores) <= tolerance))
    if len(wrong):
        i = wrong[0]
        return f"score {scores[i]:.6f} instead of {expected_scores[i]:.6f} at position {i + 1}"
    for row in ours.keys() ^ theirs.keys():
        score, end = (ours[row], expected_scores[-1]) if row in ours else (theirs[row], scores[-1])
        if abs(score - end) > tolerance:
            return f"item row {row} with score {score:.6f} is in one list only, which ends at {end:.6f}"
    return None
