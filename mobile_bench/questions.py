"""What a bundle is asked beside the timing, and what its answers say: golden lists and held-out users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lcrec import metrics
from lcrec.catalog import read_catalog
from mobile_bench.protocol import Question, RankedList
from mobile_bench.quality import HeldOutUsers, summarize
from mobile_bench.record import Quality
from odllm_export.agreement import Agreement
from odllm_export.bundle import CATALOG, GOLDEN, Manifest, read_items
from odllm_export.errors import HistoryError
from odllm_export.golden_check import Golden, golden_agreement, golden_rows, read_golden
from odllm_export.runtime import Ranked


@dataclass(frozen=True, eq=False)
class Questions:
    """Questions to a bundle, golden ones first.

    Attributes:
        asked: to be put to a worker.
        golden: whose cases the first ones are; None if the bundle has none.
        expected: the golden lists.
        users: whom the others are about; None if none were given.
        targets: item rows that came next, by user.
        codes: `[items, levels]` code rows of the catalogue's items; empty without users.
    """

    asked: list[Question]
    golden: Golden | None
    expected: list[Ranked]
    users: HeldOutUsers | None
    targets: list[int]
    codes: NDArray[np.integer]

    def agreement(self, answers: Sequence[RankedList]) -> Agreement | None:
        """Return how the answers compare with the golden lists, if there are any."""
        if self.golden is None:
            return None
        return golden_agreement(self.golden, self.expected, [_ranked(one) for one in answers[: len(self.expected)]])

    def quality(self, answers: Sequence[RankedList]) -> Quality | None:
        """Return HR and NDCG of the answers, if users were asked about."""
        if self.users is None:
            return None
        lists = [np.asarray(one.items, np.int64) for one in answers[len(self.expected) :]]
        ranks = [
            metrics.rank_of(self.codes[target], metrics.distinct_codes(rows, self.codes))
            for target, rows in zip(self.targets, lists, strict=True)
        ]
        return summarize(self.users.dataset, ranks)


def choose_questions(
    folder: Path, manifest: Manifest, users: HeldOutUsers | None, most_golden: int | None = None
) -> Questions:
    """Return what to ask a bundle: its golden cases, and held-out users' histories.

    Args:
        folder: the bundle.
        manifest: its own.
        users: to ask about, if any.
        most_golden: golden cases at most; all if None.

    Raises:
        BundleError: its golden lists are damaged or do not fit it.
        BenchError: it does not know an item of the users.
    """
    golden, cases = None, []
    if GOLDEN in manifest.files:
        golden = read_golden(folder)
        rows = _Rows(folder)
        cases = list(golden_rows(golden, rows.of))[:most_golden]
    asked = [Question(history.tolist(), blocked.tolist()) for (history, blocked), _ in cases]
    held_out = [] if users is None else users.cases(folder)
    asked += [Question(one.history) for one in held_out]
    codes = read_catalog(folder / CATALOG).item_code_rows if held_out else np.zeros((0, 0), np.int64)
    return Questions(asked, golden, [expected for _, expected in cases], users, [one.target for one in held_out], codes)


class _Rows:
    """Rows of a bundle's items by id, without opening the bundle."""

    def __init__(self, folder: Path) -> None:
        self._rows = {item["id"]: row for row, item in enumerate(read_items(folder))}

    def of(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        unknown = next((item for item in item_ids if item not in self._rows), None)
        if unknown is not None:
            raise HistoryError(f"item {unknown!r} is not in this bundle's {len(self._rows)} items.")
        return np.array([self._rows[item] for item in item_ids], dtype=np.int64)


def _ranked(answer: RankedList) -> Ranked:
    return np.asarray(answer.items, np.int64), np.asarray(answer.scores, np.float32)
