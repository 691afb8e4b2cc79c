"""Cells against the first one of their run: in words, and as a picture of ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from markupsafe import Markup

from lcrec import metrics
from mobile_bench.collection import ReportedCell
from mobile_bench.errors import ComparisonError
from mobile_bench.printers import sentence
from mobile_bench.report.axes import Axes, Scale, from_zero
from mobile_bench.report.content import Measure
from mobile_bench.report.records.rows import AXIS, LEFT, RIGHT, row_text, style
from mobile_bench.report.svg import element, frame, line
from mobile_bench.report.tables import signed
from mobile_bench.verdict import DIFFERENT_BUNDLES, EQUAL_WITHIN, Comparison, compare, with_first

_TOP = 14.0
_ROW = 40.0
_RATIO_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 5.0, 10.0, 20.0, 50.0)
_MOST_TICKS = 9


@dataclass(frozen=True)
class Pair:
    """A cell against the first timed one of its run.

    Attributes:
        cell: the one.
        first: the other.
        comparison: of their times; None where there are no pairs of rounds.
        words: the comparison as a sentence, or why there is none.
        quality: change of NDCG@10 in words; empty where both were not measured on the same users.
    """

    cell: ReportedCell
    first: ReportedCell
    comparison: Comparison | None
    words: str
    quality: str


def pairs(cells: Sequence[ReportedCell]) -> list[Pair]:
    """Return every timed cell against the first that was measured side by side with it."""
    by_record = {id(cell.record): cell for cell in cells}
    timed = [cell.record for cell in cells if cell.is_timed]
    return [_pair(by_record[id(one)], by_record[id(first)]) for one, first in with_first(timed)]


def _pair(cell: ReportedCell, first: ReportedCell) -> Pair:
    one, other = cell.name, first.name
    try:
        comparison = compare(cell.record, first.record)
    except ComparisonError as error:
        return Pair(cell, first, None, f"{one} ÷ {other}: not to be compared: {error}", _quality_words(cell, first))
    notes = [note for note in comparison.notes if not note.startswith(DIFFERENT_BUNDLES)]  # they stand in the table
    words = sentence(msgspec.structs.replace(comparison, one=one, other=other, notes=notes))
    marked = [which for which in (cell, first) if not which.record.validity.valid]
    if marked:
        words += f"; the time of {' and '.join(which.name for which in marked)} is not to be quoted"
    return Pair(cell, first, comparison, f"{words}.", _quality_words(cell, first))


def quality_change(one: ReportedCell, other: ReportedCell) -> Measure | None:
    """Return NDCG@10 of the one − the other's, user by user, with its interval; None without the same users."""
    ours, theirs = one.record.quality, other.record.quality
    if ours is None or theirs is None or (ours.dataset, len(ours.ranks)) != (theirs.dataset, len(theirs.ranks)):
        return None
    gains = metrics.ndcg(np.asarray(ours.ranks), 10) - metrics.ndcg(np.asarray(theirs.ranks), 10)
    low, high = metrics.bootstrap_interval(gains)
    return Measure(value=float(gains.mean()), low=low, high=high)


def _quality_words(one: ReportedCell, other: ReportedCell) -> str:
    change = quality_change(one, other)
    if change is None or change.low is None or change.high is None:
        return ""
    if change.value == change.low == change.high == 0:
        return "NDCG@10 is the same for every user."
    apart = change.low > 0 or change.high < 0
    judged = "more than chance" if apart else "these users do not tell them apart"
    return f"NDCG@10 {signed(change.value)} ({signed(change.low)} to {signed(change.high)}, user by user): {judged}."


def ratios(name: str, found: Sequence[Pair]) -> Markup:
    """Return the ratios with their intervals, and the band within which two cells count as equal."""
    compared = [(pair, pair.comparison) for pair in found if pair.comparison is not None]
    scale = _ratio_scale([value for _, one in compared for value in (one.low, one.high)])
    axes = Axes(LEFT, _TOP, RIGHT, _TOP + _ROW * len(compared), scale, from_zero(1))
    left, right = axes.x(1 / (1 + EQUAL_WITHIN)), axes.x(1 + EQUAL_WITHIN)
    band = element("rect", x=left, y=axes.top, width=right - left, height=axes.bottom - axes.top, class_="band")
    parts = [band, *axes.x_grid(), line(axes.x(1), axes.top, axes.x(1), axes.bottom, "axis")]
    for row, (pair, one) in enumerate(compared):
        parts += _ratio_row(axes, row, pair, one)
    parts += axes.x_axis("time of the cell ÷ time of the first, logarithmic")
    said = "; ".join(f"{pair.cell.name} ÷ {pair.first.name}: {one.ratio:.3f}, {one.verdict}" for pair, one in compared)
    return frame(name, "Ratios of times", f"{said}.", axes.bottom + AXIS, parts)


def _ratio_row(axes: Axes, row: int, pair: Pair, one: Comparison) -> list[Markup]:
    text, y = _TOP + _ROW * row + 14, _TOP + _ROW * row + 27
    low, high, middle = (axes.x(value) for value in (one.low, one.high, one.ratio))
    return [
        row_text(pair.cell, text, f"{one.ratio:.3f} · {one.verdict}"),
        line(low, y, high, y, f"whisker {style(pair.cell)}"),
        *(line(end, y - 4, end, y + 4, f"whisker {style(pair.cell)}") for end in (low, high)),
        element("circle", cx=middle, cy=float(y), r=5.0, class_=f"dot {style(pair.cell)}"),
    ]


def _ratio_scale(values: Sequence[float]) -> Scale:
    low, high = min(*values, 0.9) / 1.03, max(*values, 1.1) * 1.03
    marks = [tick for tick in _RATIO_TICKS if low <= tick <= high]
    if len(marks) > _MOST_TICKS:
        marks = [tick for tick in marks if tick in (0.02, 0.1, 0.5, 1.0, 2.0, 10.0, 50.0)]
    return Scale(marks, low, high, is_log=True)
