"""From cells to rows: means over users and seeds, and what is kept of the dense model's quality, paired by user."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.metrics import bootstrap_interval, hit_rate, ndcg, ratio_interval
from odllm.studies.cells import DENSE, Cell, Result, unpack_ranks
from odllm.studies.errors import StudyError

CUTOFF = 10

Gains = NDArray[np.float64]
"""`[seeds, users]` values of a metric."""


class Kept(msgspec.Struct, frozen=True):
    """A ratio of means over the same users, and its 95 % interval, paired by user (and drawn over seeds too)."""

    ratio: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a study: the cells that differ in the seed only.

    Attributes:
        label: what the table calls it.
        line: which line of the plot it is on.
        x: where on that line.
        step: which item of every user was asked for: 1 the last.
        precision: of the weights.
        seeds: how many.
        users: the same for every row.
        hit_rate_10: mean over users and seeds.
        ndcg_10: the same.
        ndcg_10_interval: 95 % over users, of the mean over seeds.
        hit_rate_kept: against the dense model; None where that is 0.
        ndcg_kept: the same.
        parameters: of the whole model.
        keep_ratio: reached, of the factored matrices.
        weight_bytes: of all weights.
        projection_bytes: of the seven projections alone.
        calibration_tokens: seen, mean over seeds.
        compression_s: mean over seeds.
        recovery_s: mean over seeds.
    """

    label: str
    line: str
    x: float
    step: int
    precision: str
    seeds: int
    users: int
    hit_rate_10: float = msgspec.field(name="hit_rate@10")
    ndcg_10: float = msgspec.field(name="ndcg@10")
    ndcg_10_interval: tuple[float, float] = msgspec.field(name="ndcg@10_interval")
    hit_rate_kept: Kept | None = msgspec.field(name="hit_rate@10_kept")
    ndcg_kept: Kept | None = msgspec.field(name="ndcg@10_kept")
    parameters: int
    keep_ratio: float
    weight_bytes: int
    projection_bytes: int
    calibration_tokens: float
    compression_s: float
    recovery_s: float

    @property
    def is_dense(self) -> bool:
        """Whether this is what the others are held against."""
        return self.line == DENSE


class Measured(msgspec.Struct, frozen=True):
    """A study's cells and results, for statements that no single row makes."""

    cells: Sequence[Cell]
    results: Sequence[Result]

    def gains(self, wanted: Callable[[Cell], bool], metric: Callable[[NDArray[np.int64], int], Gains] = ndcg) -> Gains:
        """Return a metric at 10 of the cells that are wanted, `[cells, users]`.

        Raises:
            StudyError: there is no such cell.
        """
        found = [metric(unpack_ranks(r.ranks), CUTOFF) for c, r in self.pairs() if wanted(c)]
        if not found:
            raise StudyError("a study lacks a cell that its table speaks of")
        return np.stack(found)

    def pairs(self) -> list[tuple[Cell, Result]]:
        """Return cells with their results."""
        return list(zip(self.cells, self.results, strict=True))

    def rows(self) -> list[Row]:
        """Return one row for all cells that differ in the seed only, in the order of their first."""
        groups: dict[tuple[str, str, float, int], list[tuple[Cell, Result]]] = {}
        for cell, result in self.pairs():
            groups.setdefault((cell.label, cell.line, cell.x, cell.step), []).append((cell, result))
        return [self._row(pairs) for pairs in groups.values()]

    def _row(self, pairs: Sequence[tuple[Cell, Result]]) -> Row:
        cell, result = pairs[0]
        ranks = [unpack_ranks(one.ranks) for _, one in pairs]
        hits, gains = (np.stack([metric(one, CUTOFF) for one in ranks]) for metric in (hit_rate, ndcg))

        def dense(one: Cell) -> bool:
            return one.line == DENSE and one.step == cell.step

        return Row(
            label=cell.label,
            line=cell.line,
            x=cell.x,
            step=cell.step,
            precision=cell.recipe.precision,
            seeds=len(pairs),
            users=result.users,
            hit_rate_10=float(hits.mean()),
            ndcg_10=float(gains.mean()),
            ndcg_10_interval=bootstrap_interval(gains.mean(axis=0)),
            hit_rate_kept=kept(hits, self.gains(dense, hit_rate)),
            ndcg_kept=kept(gains, self.gains(dense)),
            parameters=result.parameters,
            keep_ratio=result.keep_ratio,
            weight_bytes=result.weight_bytes,
            projection_bytes=result.projection_bytes,
            calibration_tokens=_mean([one.calibration_tokens for _, one in pairs]),
            compression_s=_mean([one.compression_s for _, one in pairs]),
            recovery_s=_mean([one.recovery_s for _, one in pairs]),
        )


def kept(gains: Gains, reference: Gains) -> Kept | None:
    """Return the ratio of the means of two `[seeds, users]` (or of a reference `[1, users]`), or None over nothing."""
    if not reference.mean():
        return None
    low, high = ratio_interval(gains, reference)
    return Kept(float(gains.mean() / reference.mean()), low, high)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
