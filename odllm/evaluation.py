"""Evaluation of whatever the user names: a model folder or a bundle, under one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.errors import SearchError
from lcrec.evaluate import (
    Ranker,
    Ranking,
    dataset_catalog,
    items_ranking,
    last_item_ranker,
    model_ranker,
    popularity_ranker,
    without_seen,
)
from lcrec.evaluate import evaluate as evaluate_ranker
from lcrec.sasrec import CARD as SASREC_CARD
from lcrec.sasrec import load_sasrec, sasrec_ranker
from odllm_artifact import Progress, silent
from odllm_export.bundle import MANIFEST
from odllm_export.runtime import Recommender


def evaluate_target(
    target: Path,
    dataset: Dataset,
    *,
    split: str = "test",
    constraint: str = "trie",
    scoring: str = "codes",
    num_beams: int = 20,
    users: int | None = None,
    seen: bool = True,
    baselines: bool = True,
    progress: Progress = silent,
) -> dict[str, dict[str, Any]]:
    """Return the summary of a model folder or bundle by its name, and of the baselines.

    `seen` says whether lists may hold what is in the history.

    Raises:
        SearchError: a split, constraint or scoring that does not exist, or a bundle asked for another one.
        ExportError: a damaged bundle, or one of another dataset.
        CompressionError: a damaged model folder.
    """
    histories, targets = split_users(dataset, split, users)
    codes = dataset.require_codes().codes
    ranker, facts = _ranker(target, dataset, constraint, scoring, num_beams)
    rankers = {target.name: ranker}
    if baselines:
        rankers |= {"popularity": popularity_ranker(dataset), "last item": last_item_ranker(dataset)}
    rows = {}
    for name, one in rankers.items():
        asked = one if seen else without_seen(one, codes)
        result = evaluate_ranker(asked, histories, targets, codes, progress=progress if one is ranker else silent)
        rows[name] = result.summary() | {"split": split, "seen": seen}
    rows[target.name] |= facts
    return rows


def split_users(
    dataset: Dataset, split: str, users: int | None = None
) -> tuple[Sequence[NDArray[np.int32]], NDArray[np.int32]]:
    """Return histories and targets of a split, of all users or of `users` drawn by seed 0.

    Raises:
        SearchError: there is no such split.
    """
    parts = dataset.split()
    if split not in ("test", "validation"):
        raise SearchError(f"split {split!r} is not one of test, validation")
    histories, targets = (
        (parts.test_history, parts.test_target)
        if split == "test"
        else (parts.validation_history, parts.validation_target)
    )
    if users is None or users >= len(histories):
        return histories, targets
    chosen = np.sort(np.random.default_rng(0).choice(len(histories), users, replace=False))
    return [histories[user] for user in chosen], targets[chosen]


def _ranker(
    target: Path, dataset: Dataset, constraint: str, scoring: str, num_beams: int
) -> tuple[Ranker, dict[str, Any]]:
    if (target / MANIFEST).is_file():
        recommender = Recommender.open(target)
        search = recommender.manifest.search
        if constraint != search.constraint:
            raise SearchError(f"{target} is a bundle and searches under {search.constraint!r}, not {constraint!r}")
        return bundle_ranker(recommender, dataset), {
            "constraint": search.constraint,
            "scoring": search.scoring,
            "num_beams": search.num_beams,
        }
    if (target / SASREC_CARD).is_file():
        # Items, not codes, are what it ranks: nothing is constrained and no beam is searched.
        return sasrec_ranker(load_sasrec(target)[0], dataset), {
            "constraint": "items",
            "scoring": "items",
            "num_beams": 0,
        }
    from compression.checkpoint import load_model
    from lcrec.prompt import read_card

    card = read_card(target)
    ranker = model_ranker(
        load_model(target),
        card.prompt,
        dataset_catalog(dataset),
        num_beams=num_beams,
        constraint=constraint,  # type: ignore[arg-type]
        scoring=scoring,  # type: ignore[arg-type]
    )
    return ranker, {"constraint": constraint, "scoring": scoring, "num_beams": num_beams}


def bundle_ranker(recommender: Recommender, dataset: Dataset) -> Ranker:
    """Return the ranker of a bundle: its lists, as the device would show them.

    Raises:
        HistoryError: the dataset has items that the bundle does not know.
    """
    rows = recommender.rows_of(dataset.item_ids)  # dataset row to bundle row
    back = np.full(len(recommender.items), -1, dtype=np.int64)
    back[rows] = np.arange(len(rows))
    codes = dataset.require_codes().codes

    def rank(histories: Sequence[NDArray[np.int32]]) -> list[Ranking]:
        return [items_ranking(back[recommender.recommend_rows(rows[h])[0]], codes) for h in histories]

    return rank
