"""Evaluation of whatever the user names, a model folder or a bundle, under one protocol (docs/evaluation.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.processes import gather_from_processes, process_count, process_number
from lcrec import metrics
from lcrec.dataset import Dataset
from lcrec.errors import SearchError
from lcrec.evaluate import Evaluation, Ranker, Share, last_item_ranker, popularity_ranker, without_seen
from lcrec.evaluate import evaluate as evaluate_ranker
from odllm.evaluation_targets import EvaluationProtocol, open_target
from odllm_artifact import Progress, silent


@dataclass(frozen=True)
class Evaluated:
    """What came out.

    Attributes:
        rows: the summary of the target by its folder's name, and of the baselines.
        users: ids of the users, in the order of the ranks.
        ranks: of the target: `[users]` by the number of the template.
        note: in words, how the dataset differs from the one the model was trained on; None if it does not.
    """

    rows: dict[str, dict[str, Any]]
    users: tuple[str, ...]
    ranks: Mapping[int, NDArray[np.int64]]
    note: str | None = None


def evaluate_target(
    target: Path,
    dataset: Dataset,
    protocol: EvaluationProtocol | None = None,
    *,
    baselines: bool = True,
    folder: Path | None = None,
    any_codes: bool = False,
    progress: Progress = silent,
) -> Evaluated:
    """Evaluate a model folder or bundle, and the baselines beside it.

    Processes that have joined (`compression.processes.joined_processes`) share the users; every one returns the whole.

    Args:
        target: what is evaluated.
        dataset: with item codes.
        protocol: how; None takes the defaults.
        baselines: evaluate popularity and last item too.
        folder: of the dataset: a model of other codes is noticed.
        any_codes: evaluate it all the same.
        progress: told about the users of this process.

    Raises:
        SearchError: a setting that does not exist, no users, or a bundle asked for another search.
        ItemCodesError: the dataset's codes are not the model's.
        PromptError: the model has no such template, or no tokenizer to read it.
        ExportError: a damaged bundle, or one of another dataset.
        CompressionError: a damaged model folder.
    """
    protocol = protocol or EvaluationProtocol()
    protocol.check()
    chosen = chosen_users(dataset, protocol.users)
    histories, targets = split_users(dataset, protocol.split, protocol.users)
    codes = dataset.require_codes().codes
    share = Share(process_number(), process_count(), gather_from_processes)

    def run(ranker: Ranker, told: Progress) -> Evaluation:
        return evaluate_ranker(
            ranker if protocol.seen else without_seen(ranker, codes),
            histories,
            targets,
            codes,
            batch_users=protocol.batch_users,
            illegal=protocol.illegal,
            share=share,
            progress=told,
        )

    asked = open_target(target, dataset, protocol, folder, any_codes)
    count = len(asked.rankers)
    found = {
        number: run(ranker, _part(progress, place, count))
        for place, (number, ranker) in enumerate(asked.rankers.items())
    }
    rows = {target.absolute().name: template_summary(found, asked.words) | asked.facts}
    if baselines:
        rivals = {"popularity": popularity_ranker(dataset), "last item": last_item_ranker(dataset)}
        rows |= {name: run(ranker, silent).summary() for name, ranker in rivals.items()}
    for row in rows.values():
        row |= {"split": protocol.split, "seen": protocol.seen}
    ranks = {number: one.ranks for number, one in found.items()}
    return Evaluated(rows, tuple(dataset.users[user] for user in chosen), ranks, asked.note)


def template_summary(found: Mapping[int, Evaluation], words: Mapping[int, dict[str, str]]) -> dict[str, Any]:
    """Return the summary of one template's evaluation, or of the average of several.

    Of several, the figures are means over templates (intervals: over users, whose values are averaged first), and
    `templates` has the summary of each, `spread` the `[min, max]` over them of every figure.
    """
    if len(found) == 1:
        ((number, one),) = found.items()
        return one.summary() | {"template": number}
    ranks = np.stack([one.ranks for one in found.values()])
    each = [{"template": number} | words.get(number, {}) | one.summary() for number, one in found.items()]
    illegal = [one.illegal_rate for one in found.values()]
    mean = metrics.summarize(ranks) | {"illegal_rate": float(np.mean(illegal))}
    return {
        **mean,
        **{name: list(interval) for name, interval in metrics.summary_intervals(ranks).items()},
        "users": ranks.shape[1],
        "template": "all",
        "spread": {name: [min(row[name] for row in each), max(row[name] for row in each)] for name in mean},
        "templates": each,
    }


def chosen_users(dataset: Dataset, users: int | None = None) -> NDArray[np.int64]:
    """Return which users are evaluated: all, or `users` drawn by seed 0, in the dataset's order."""
    count = len(dataset.users)
    if users is None or users >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, users, replace=False))


def split_users(
    dataset: Dataset, split: str, users: int | None = None
) -> tuple[Sequence[NDArray[np.int32]], NDArray[np.int32]]:
    """Return histories and targets of a split, of `chosen_users`.

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
    chosen = chosen_users(dataset, users)
    return [histories[user] for user in chosen], targets[chosen]


def _part(progress: Progress, place: int, count: int) -> Progress:
    """Return the progress of one of several templates as a part of the whole."""

    def report(done: float, total: float, note: str = "") -> None:
        progress(place * total + done, count * total, note)

    return report
