"""The pictures of time: how the calls of each cell are distributed, and how they went over the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mobile_bench.collection import ReportedCell
from mobile_bench.record import Timing
from mobile_bench.report.axes import Axes, Scale, for_costs, from_zero
from mobile_bench.report.marks import histogram_outline
from mobile_bench.report.records.rows import (
    AXIS,
    LEFT,
    RIGHT,
    ROW,
    TOP,
    legend,
    ms_text,
    row_text,
    rows_bottom,
    style,
    text_height,
)
from mobile_bench.report.svg import element, frame, label, line
from mobile_bench.statistics import relative_to_history

_BINS = 140
_SUMMIT = 34.0
_MOST_PARTS = 48
_USUAL = (0.8, 1.25)
_WIDEST = (0.4, 2.5)


def time_distributions(name: str, cells: Sequence[ReportedCell]) -> Markup:
    """Return a histogram a timed cell, of every call, on one scale, with p50, p90 and p99."""
    timed = _timed(cells)
    scale = for_costs([value for _, timing in timed for value in (timing.wall.p50, 1.05 * timing.wall.p99)])
    axes = Axes(LEFT, TOP, RIGHT, rows_bottom(cells), scale, from_zero(1))
    lines = [("mark", "p50"), ("mark faint", "p90"), ("mark rare", "p99")]
    parts = axes.x_grid() + legend([("light", "calls"), *lines])
    for row, (cell, timing) in enumerate(timed):
        parts += _histogram(axes, row, cell, timing)
    parts += axes.x_axis("milliseconds a call" + scale.note)
    said = "; ".join(
        f"{cell.number}, {cell.name}: {timing.wall.count} calls, p50 {ms_text(timing.wall.p50)}, "
        f"p90 {ms_text(timing.wall.p90)}, p99 {ms_text(timing.wall.p99)}, longest {ms_text(max(timing.wall_ms))} ms"
        for cell, timing in timed
    )
    return frame(name, "Time to top-k of every call", f"{said}.", axes.bottom + AXIS, parts)


def _timed(cells: Sequence[ReportedCell]) -> list[tuple[ReportedCell, Timing]]:
    return [(cell, cell.timing) for cell in cells if cell.timing is not None]


def _histogram(axes: Axes, row: int, cell: ReportedCell, timing: Timing) -> list[Markup]:
    floor, wall = TOP + ROW * (row + 1) - 6, timing.wall
    outline = histogram_outline(axes, timing.wall_ms, floor, _SUMMIT, _BINS)
    parts = [element("path", d=outline, class_=f"area {style(cell)}")]
    for value, kind in ((wall.p50, "mark"), (wall.p90, "mark faint"), (wall.p99, "mark rare")):
        parts.append(line(axes.x(value), floor, axes.x(value), floor - _SUMMIT, f"{kind} {style(cell)}"))
    figures = " · ".join(map(ms_text, (wall.p50, wall.p90, wall.p99, max(timing.wall_ms)))) + " ms"
    return [*parts, line(axes.left, floor, axes.right, floor, "axis"), row_text(cell, text_height(row), figures)]


@dataclass(frozen=True)
class _Part:
    """Calls that followed each other, of one or several rounds: the middle and the middle half."""

    first_round: float
    last_round: float
    low: float
    middle: float
    high: float


def course(name: str, cells: Sequence[ReportedCell]) -> Markup:
    """Return how calls went over the rounds of the run, each ÷ the usual time of its history."""
    timed = _timed(cells)
    parts_of = [_parts(timing, cell.record.workload.histories) for cell, timing in timed]
    rounds = max(len(timing.round_calls) for _, timing in timed)
    scale = _relative_scale([value for parts in parts_of for part in parts for value in (part.low, part.high)])
    axes = Axes(LEFT + 30, TOP, RIGHT, rows_bottom(cells), Scale(_round_ticks(rounds), 0.0, rounds), from_zero(1))
    drawn, said = legend([("median", "median"), ("light", "middle half of the calls")]), []
    for row, ((cell, timing), found) in enumerate(zip(timed, parts_of, strict=True)):
        drawn += _course_row(axes, scale, row, cell, found)
        middles = [part.middle for part in found]
        drift = f"{min(middles):.2f} to {max(middles):.2f}"
        drawn.append(row_text(cell, text_height(row), f"{len(timing.round_calls)} rounds, {drift}"))
        said.append(f"{cell.number}, {cell.name}: {drift} of its usual time over {len(timing.round_calls)} rounds")
    cut = f"; more than {_WIDEST[1]:g} times is cut" if scale.high == _WIDEST[1] else ""
    drawn += axes.x_axis(f"round{cut}")
    return frame(name, "Time over the course of the run", f"{'; '.join(said)}.", axes.bottom + AXIS, drawn)


def _parts(timing: Timing, histories: int) -> list[_Part]:
    """Return at most so many parts of a run as the eye can tell apart; a part is whole rounds."""
    relative = relative_to_history(timing.wall_ms, histories)
    ends = np.cumsum(timing.round_calls)
    rounds = math.ceil(len(ends) / _MOST_PARTS)  # of a part; the last one may have fewer
    groups = np.split(np.arange(len(ends)), range(rounds, len(ends), rounds))
    found = []
    for group in groups:
        first = 0 if group[0] == 0 else int(ends[group[0] - 1])
        low, middle, high = np.percentile(relative[first : ends[group[-1]]], [25, 50, 75])
        found.append(_Part(float(group[0]), float(group[-1] + 1), float(low), float(middle), float(high)))
    return found


def _relative_scale(values: Sequence[float]) -> Scale:
    """Return a logarithmic scale about 1: half the time is as far from it as twice the time."""
    low, high = (min(*values, _USUAL[0]), max(*values, _USUAL[1]))
    reach = min(max(1 / max(low, _WIDEST[0]), high), _WIDEST[1])
    marks = [1 / reach, 1.0, reach] if reach <= _USUAL[1] else [0.5, 0.8, 1.0, 1.25, 2.0]
    return Scale([mark for mark in marks if 1 / reach <= mark <= reach], 1 / reach, reach, is_log=True)


def _round_ticks(rounds: int) -> list[float]:
    return [tick for tick in from_zero(rounds).ticks if tick <= rounds and tick == round(tick)]


def _course_row(axes: Axes, scale: Scale, row: int, cell: ReportedCell, found: Sequence[_Part]) -> list[Markup]:
    floor = TOP + ROW * (row + 1) - 6
    rows = Axes(axes.left, floor - _SUMMIT, axes.right, floor, axes.x_scale, scale)

    def y(value: float) -> float:
        return rows.y(min(max(value, scale.low), scale.high))

    parts = []
    for tick in (scale.ticks[0], 1.0, scale.ticks[-1]):
        parts.append(line(axes.left, y(tick), axes.right, y(tick), "axis" if tick == 1 else "grid"))
        parts.append(label(axes.left - 6, y(tick) + 4, f"{tick:.3g}", anchor="end", class_="tick minor"))
    for part in found:
        first, last = axes.x(part.first_round), axes.x(part.last_round)
        x, box = (first + last) / 2, max(0.55 * (last - first), 1.0)
        parts.append(line(x, y(part.low), x, y(part.high), f"middle-half {style(cell)}", stroke_width=box))
        parts.append(line(first, y(part.middle), last, y(part.middle), f"mark {style(cell)}"))
    return parts
