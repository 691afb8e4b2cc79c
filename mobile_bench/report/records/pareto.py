"""Which cells are worth taking: quality against a cost, and the front that no other cell beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mobile_bench.collection import ReportedCell
from mobile_bench.record import Record
from mobile_bench.report.content import Measure


@dataclass(frozen=True)
class Point:
    """One or several cells of equal cost and quality.

    Attributes:
        cells: which.
        name: what a list calls them.
        cost: in the figure's unit; less is better.
        quality: more is better.
        may_lead: whether its figures may be quoted; if not, it is drawn but on no front.
    """

    cells: list[ReportedCell]
    name: str
    cost: Measure
    quality: Measure
    may_lead: bool

    @property
    def numbers(self) -> str:
        """Numbers of its cells."""
        return ", ".join(str(cell.number) for cell in self.cells)


@dataclass(frozen=True)
class QualityScale:
    """What the quality of a device's cells is, where it can be compared.

    Attributes:
        kind: `ndcg` of held-out items, or `overlap` with the golden lists.
        title: for the axis.
        words: what it is and is not, as a sentence.
        cells: that have it.
        others: that have not.
    """

    kind: Literal["ndcg", "overlap"]
    title: str
    words: str
    cells: list[ReportedCell]
    others: list[ReportedCell]

    def of(self, record: Record) -> Measure:
        """Return the quality of one of its cells."""
        if self.kind == "ndcg" and record.quality is not None:
            found = record.quality
            return Measure(value=found.ndcg_10, low=found.ndcg_10_low, high=found.ndcg_10_high)
        return Measure(value=0.0 if record.agreement is None else record.agreement.overlap)


def quality_scale(cells: Sequence[ReportedCell]) -> QualityScale | None:
    """Return the quality that most of the cells share: NDCG@10 where any has it, else the overlap; None without."""
    asked = [_asked(cell.record) for cell in cells]
    known = [one for one in asked if one is not None]
    if known:
        dataset, users = max(known, key=known.count)
        return QualityScale(
            "ndcg",
            "NDCG@10",
            f"NDCG@10 on the held-out items of {users:,} users of {dataset}, asked in this very run; bars are 95 % "
            "intervals over users. The users are the same for all cells, so a difference is surer than two bars say.",
            [cell for cell, one in zip(cells, asked, strict=True) if one == (dataset, users)],
            [cell for cell, one in zip(cells, asked, strict=True) if one != (dataset, users)],
        )
    with_lists = [cell for cell in cells if cell.record.agreement is not None]
    if not with_lists:
        return None
    return QualityScale(
        "overlap",
        "list overlap",
        "NDCG@10 was not measured (`odllm bench --dataset`), so this is the share of the golden lists' items that came "
        "back: how true a bundle is to the model it was exported from, not whether that model is good.",
        with_lists,
        [cell for cell in cells if cell.record.agreement is None],
    )


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in cost or quality without losing in the other, cheapest first."""
    able = [point for point in points if point.may_lead]
    found = [one for one in able if not any(_beats(other, one) for other in able)]
    return sorted(found, key=lambda point: (point.cost.value, point.quality.value))


def _beats(one: Point, other: Point) -> bool:
    cost, quality = one.cost.value - other.cost.value, one.quality.value - other.quality.value
    return cost <= 0 and quality >= 0 and (cost < 0 or quality > 0)


def _asked(record: Record) -> tuple[str, int] | None:
    """Return whom a cell's quality was measured on: figures over other users are not comparable."""
    return None if record.quality is None else (record.quality.dataset, record.quality.users)


def points_by_time(scale: QualityScale) -> list[Point]:
    """Return a point a timed cell: the median of its time, ms; none leads whose time is not to be quoted."""
    return [
        Point(
            [cell],
            cell.name,
            Measure(value=timing.wall.p50, low=timing.wall.p50_low, high=timing.wall.p50_high),
            scale.of(cell.record),
            cell.record.validity.valid,
        )
        for cell in scale.cells
        if (timing := cell.timing) is not None
    ]


def points_by_size(scale: QualityScale) -> list[Point]:
    """Return a point for all cells of a bundle that have the same quality: bytes on disk."""
    together: dict[tuple[int, float], list[ReportedCell]] = {}
    for cell in scale.cells:
        together.setdefault((cell.bundle_index, scale.of(cell.record).value), []).append(cell)
    return [
        Point(
            cells,
            cells[0].record.bundle.name if len(cells) > 1 else cells[0].name,
            Measure(value=float(cells[0].record.bundle.bundle_bytes)),
            scale.of(cells[0].record),
            may_lead=True,
        )
        for cells in together.values()
    ]
