"""Histories that exercise a bundle, and the lists that it must answer with: `golden.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from odllm_export.runtime import Ranked, Recommender

TOLERANCE = 1e-4
"""How far two scores may be apart and still be one: float32 sums in another order."""

MIN_OVERLAP = 0.6
"""Share of the items that a rounded bundle must return of its model's, or elsewhere of its own.

A graph that computes something else returns next to none of them. Measured on small models: 0.94 to 0.97 with 8 bits,
0.64 to 0.81 with 4.
"""

Case = tuple[NDArray[np.int64], NDArray[np.int64]]
"""A history and its blocked items, both as item rows."""


def sample_histories(dataset: Dataset, count: int, *, seed: int = 0) -> list[Case]:
    """Return histories and blocked items (rows) that exercise a bundle.

    Users' real histories of all lengths, the long ones included, drawn by `seed`; every other one blocks
    what its user has seen.
    """
    users = np.random.default_rng(seed).choice(len(dataset.users), count, replace=count > len(dataset.users))
    histories = [dataset.split().test_history[user].astype(np.int64) for user in users]
    nothing = np.zeros(0, dtype=np.int64)
    return [(rows, np.unique(rows) if i % 2 else nothing) for i, rows in enumerate(histories)]


def bundle_lists(folder: Path, cases: Sequence[Case]) -> list[Ranked]:
    """Return what a bundle answers on this machine."""
    with Recommender.open(folder) as recommender:
        return [recommender.recommend_rows(*case) for case in cases]


def golden_file(
    computed_by: Literal["model", "graph"],
    item_ids: Sequence[str],
    cases: Sequence[Case],
    lists: Sequence[Ranked],
    *,
    min_overlap: float = 1.0,
) -> dict[str, Any]:
    """Return the content of `golden.json`.

    Args:
        computed_by: `model`: in torch, so that the lists can disagree with the graph; `graph`: by the bundle itself
            where it was made, so that they can disagree with another machine or version.
        item_ids: by row.
        cases: what is asked.
        lists: the answers.
        min_overlap: share of the items that must come back elsewhere, on average; 1: lists must be equal up to ties.
    """

    def named(rows: NDArray[np.int64]) -> list[str]:
        return [item_ids[row] for row in rows]

    return {
        "score_tolerance": TOLERANCE,
        "min_overlap": min_overlap,
        "computed_by": computed_by,
        "cases": [
            {"history": named(h), "blocked": named(b), "items": named(rows), "scores": [float(s) for s in scores]}
            for (h, b), (rows, scores) in zip(cases, lists, strict=True)
        ],
    }
