"""Is the bundle what was trained? Ranked lists and scores of the graph against the torch model's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.search import SearchResult
from odllm_artifact import Progress, silent
from odllm_export.errors import VerificationError
from odllm_export.golden import MIN_OVERLAP, TOLERANCE, Case, sample_histories
from odllm_export.list_difference import list_difference, overlap
from odllm_export.oracle import model_results
from odllm_export.precision import find_precision
from odllm_export.runtime import Recommender
from odllm_export.tensors import checkpoint_hash


class Difference(msgspec.Struct, frozen=True):
    """The first history on which bundle and model disagree beyond ties."""

    case: int
    history: list[str]
    bundle_items: list[str]
    model_items: list[str]
    what: str


class Verification(msgspec.Struct, frozen=True):
    """What a verification found.

    Attributes:
        precision: of the bundle. A rounded one is not the model: its lists are compared by their overlap.
        histories: compared.
        identical_lists: whose items agree in every position.
        ties: whose items differ only among equal scores.
        mean_overlap: of the first `top_k` items, the share that is among the model's first `top_k`.
        same_first_item: share of the histories whose best item is the model's.
        max_score_difference: over all positions of all lists.
        tolerance: within which two scores count as equal.
        first_difference: None when all lists agree.
    """

    precision: str
    histories: int
    identical_lists: int
    ties: int
    mean_overlap: float
    same_first_item: float
    max_score_difference: float
    tolerance: float
    first_difference: Difference | None


def verify_bundle(
    recommender: Recommender, model_folder: Path, cases: Sequence[Case], *, progress: Progress = silent
) -> Verification:
    """Compare a bundle with the model it was exported from.

    Args:
        recommender: the opened bundle.
        model_folder: the model.
        cases: histories and blocked items.
        progress: told about finished histories.

    Raises:
        VerificationError: the bundle was made from another checkpoint.
    """
    made_from = recommender.manifest.provenance.get("checkpoint_sha256")
    if made_from != (given := checkpoint_hash(model_folder)):
        raise VerificationError(
            f"the bundle was exported from a checkpoint with SHA-256 {made_from}; {model_folder} has {given}. "
            "Verify against the model it was exported from, or export again."
        )
    identical = ties = same_first = 0
    shared = largest = 0.0
    first, top_k = None, recommender.manifest.search.top_k
    results = model_results(model_folder, recommender.manifest, recommender.catalog, cases)
    for number, ((history, blocked), expected) in enumerate(zip(cases, results, strict=True)):
        rows, scores = recommender.recommend_rows(history, blocked)
        compared = min(len(scores), len(expected.scores))
        gap = float(np.abs(scores[:compared] - expected.scores[:compared]).max(initial=0.0))
        largest = max(largest, gap)
        shared += overlap(rows[:top_k], expected.rows[:top_k])
        same_first += np.array_equal(rows[:1], expected.rows[:1])
        if np.array_equal(rows, expected.rows) and gap <= TOLERANCE:
            identical += 1
        elif (what := difference(rows, scores, expected)) is None:
            ties += 1
        elif first is None:
            first = _describe(recommender, number, history, rows, expected, what)
        progress(number + 1, len(cases))
    return Verification(
        precision=recommender.manifest.model.precision,
        histories=len(cases),
        identical_lists=identical,
        ties=ties,
        mean_overlap=shared / len(cases),
        same_first_item=same_first / len(cases),
        max_score_difference=largest,
        tolerance=TOLERANCE,
        first_difference=first,
    )


def difference(rows: NDArray[np.int64], scores: NDArray[np.float32], expected: SearchResult) -> str | None:
    """Say how a list differs from the model's beyond ties, or None (see `list_difference`)."""
    return list_difference(rows, scores, expected.rows, expected.scores, tolerance=TOLERANCE, margin=expected.margin)


def _describe(
    recommender: Recommender,
    number: int,
    history: NDArray[np.int64],
    rows: NDArray[np.int64],
    expected: SearchResult,
    what: str,
) -> Difference:
    def ids(values: NDArray[np.int64]) -> list[str]:
        return [recommender.items[row]["id"] for row in values]

    return Difference(number, ids(history), ids(rows), ids(expected.rows), what)


def require_verified(found: Verification, *, min_overlap: float = MIN_OVERLAP) -> None:
    """Raise if a verification failed.

    An exact bundle fails on any difference beyond ties, a rounded one if its lists overlap less than `min_overlap`.

    Raises:
        VerificationError: with the first difference, or the overlap.
    """
    first = found.first_difference
    if first is None:
        return
    if not find_precision(found.precision).exact:
        if found.mean_overlap < min_overlap:
            raise VerificationError(
                f"the {found.precision} bundle's lists share {found.mean_overlap:.1%} of their items with the model's; "
                f"at least {min_overlap:.0%} are asked for. Export with a finer precision."
            )
        return
    wrong = found.histories - found.identical_lists - found.ties
    raise VerificationError(
        f"{wrong} of {found.histories} lists differ from the model's. The first, history {first.case} "
        f"({', '.join(first.history[-5:])}): {first.what}. Bundle: {', '.join(first.bundle_items[:5])} …; "
        f"model: {', '.join(first.model_items[:5])} …"
    )


def dataset_cases(recommender: Recommender, dataset: Dataset, count: int, *, seed: int = 0) -> list[Case]:
    """Return real users' histories as rows of the bundle.

    Raises:
        HistoryError: the dataset has items that the bundle does not know.
    """
    rows = recommender.rows_of(dataset.item_ids)
    return [(rows[history], rows[blocked]) for history, blocked in sample_histories(dataset, count, seed=seed)]


def random_cases(recommender: Recommender, count: int, *, seed: int = 0) -> list[Case]:
    """Return random histories from one item to beyond the window; every other one blocks its own items."""
    random = np.random.default_rng(seed)
    items, window = recommender.catalog.items, recommender.manifest.prompt.max_items
    cases = []
    for number in range(count):
        history = random.integers(0, items, random.integers(1, window + 6)).astype(np.int64)
        cases.append((history, np.unique(history) if number % 2 else np.zeros(0, dtype=np.int64)))
    return cases
