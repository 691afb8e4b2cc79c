"""Does a bundle give its golden lists on this machine? And the new ones, once its catalogue has changed.

Lists of the torch model can disagree with the graph. When the catalogue of a bundle changes there is no model to
ask: the graph, which gave the old lists, then computes the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from odllm_artifact import read_json
from odllm_export.agreement import Agreement
from odllm_export.bundle import GOLDEN
from odllm_export.errors import BundleError, HistoryError, VerificationError
from odllm_export.golden import Case, golden_file
from odllm_export.list_difference import list_difference, overlap
from odllm_export.runtime import Ranked, Recommender


class GoldenCase(msgspec.Struct, frozen=True):
    """A history, the items that must not come back, and the expected list with its scores; items by id."""

    history: list[str]
    blocked: list[str]
    items: list[str]
    scores: list[float]


class Golden(msgspec.Struct, frozen=True):
    """What is read of `golden.json`.

    Attributes:
        score_tolerance: within which two scores count as equal.
        min_overlap: share of the items that must come back, on average; 1: the lists must be equal up to ties.
        computed_by: `model` or `graph`.
        cases: questions and answers.
    """

    score_tolerance: float
    min_overlap: float
    computed_by: str
    cases: list[GoldenCase]


def read_golden(folder: Path) -> Golden:
    """Read a bundle's golden lists.

    Raises:
        BundleError: the file is damaged or has no cases.
    """
    try:
        golden = msgspec.convert(read_json(folder / GOLDEN), Golden)
    except msgspec.ValidationError as error:
        raise BundleError(f"{folder / GOLDEN} is damaged: {error}. Export the bundle again.") from error
    if not golden.cases:
        raise BundleError(f"{folder / GOLDEN} has no cases. Export the bundle again.")
    return golden


def self_test(recommender: Recommender, folder: Path) -> int:
    """Ask an opened bundle its golden questions and return how many lists came back; no model and no torch needed.

    Args:
        recommender: the opened bundle.
        folder: where it lies.

    Raises:
        BundleError: it has no golden lists, they are damaged, or they do not fit it.
        VerificationError: a list or its scores differ beyond ties.
    """
    if GOLDEN not in recommender.manifest.files:
        raise BundleError(f"{folder} has no {GOLDEN} to test itself with; verify it against its model with --model")
    golden = read_golden(folder)
    what = golden_difference(recommender, golden)
    if what:
        raise VerificationError(
            f"{folder} does not give its golden lists on this machine: {what}. Its weights are not those that were "
            "exported, or this runtime computes otherwise; copy or export the bundle again, or try another onnxruntime."
        )
    return len(golden.cases)


def golden_difference(recommender: Recommender, golden: Golden) -> str | None:
    """Say how the first list that differs from the golden one beyond ties does so, or None.

    A bundle of rounded precision is asked for the overlap only: whatever differs in the last bit, such as another
    runtime's exponential, moves some activation to the next step, and within a few layers that is as much as the
    rounding itself.

    Raises:
        BundleError: a golden list names an item that the bundle does not have.
    """
    shared: list[float] = []
    for number, (case, expected) in enumerate(golden_rows(golden, recommender.rows_of), start=1):
        answer = recommender.recommend_rows(*case)
        if golden.min_overlap < 1:
            shared.append(overlap(answer[0], expected[0]))
            continue
        what = list_difference(*answer, *expected, tolerance=golden.score_tolerance)
        if what:
            return f"case {number} of {len(golden.cases)}: {what}"
    if shared and np.mean(shared) < golden.min_overlap:
        return f"{np.mean(shared):.1%} of the items come back, at least {golden.min_overlap:.0%} must"
    return None


def golden_agreement(golden: Golden, expected_lists: Sequence[Ranked], answers: Sequence[Ranked]) -> Agreement:
    """Return how a bundle's answers compare with its golden lists; however far apart, it is no error.

    Args:
        golden: whose cases were asked.
        expected_lists: of `golden_rows`.
        answers: as long.
    """
    shared, equal, apart = [], 0, [0.0]
    for answer, expected in zip(answers, expected_lists, strict=True):
        shared.append(overlap(answer[0], expected[0]))
        equal += list_difference(*answer, *expected, tolerance=golden.score_tolerance) is None
        ours, theirs = (dict(zip(rows.tolist(), scores.tolist(), strict=True)) for rows, scores in (answer, expected))
        apart += [abs(ours[row] - theirs[row]) for row in ours.keys() & theirs.keys()]
    return Agreement(golden.computed_by, golden.min_overlap, len(shared), equal, float(np.mean(shared)), max(apart))


def golden_rows(golden: Golden, rows_of: Callable[[Sequence[str]], NDArray[np.int64]]) -> Iterator[tuple[Case, Ranked]]:
    """Yield what every golden case asks, and the golden list, both as item rows.

    Args:
        golden: the cases.
        rows_of: of item ids; raises `HistoryError` where one is unknown.

    Raises:
        BundleError: a case names an item that the bundle does not have, or has not one score an item.
    """
    for number, case in enumerate(golden.cases, start=1):
        try:
            history, blocked, expected = map(rows_of, (case.history, case.blocked, case.items))
        except HistoryError as error:
            raise BundleError(f"the golden lists do not fit their bundle: {error} Export the bundle again.") from error
        if len(case.items) != len(case.scores):
            raise BundleError(
                f"golden case {number} has {len(case.items)} items and {len(case.scores)} scores. "
                "Export the bundle again."
            )
        yield (history, blocked), (expected, np.array(case.scores, dtype=np.float32))


def recompute_golden(recommender: Recommender, golden: Golden) -> dict[str, Any]:
    """Return the content of `golden.json` with the same questions and the bundle's own answers.

    Items that it no longer has leave the histories; a history that holds nothing else goes. If none is left, the
    first items of the table are asked about instead.
    """
    ids = [item["id"] for item in recommender.items]
    cases = _cases(recommender, golden, set(ids))
    lists = [recommender.recommend_rows(*case) for case in cases]
    return golden_file("graph", ids, cases, lists, min_overlap=golden.min_overlap)


def _cases(recommender: Recommender, golden: Golden, known: set[str]) -> list[Case]:
    """Return the golden histories and blocked items as rows, unknown items left out."""
    asked = []
    for case in golden.cases:
        history, blocked = ([item for item in ids if item in known] for ids in (case.history, case.blocked))
        if history:
            asked.append((recommender.rows_of(history), recommender.rows_of(blocked)))
    window = min(recommender.manifest.prompt.max_items, len(known))
    return asked or [(np.arange(window), np.zeros(0, dtype=np.int64))]
