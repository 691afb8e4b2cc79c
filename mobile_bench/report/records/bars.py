"""The pictures with bars: a call taken apart, and memory."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mobile_bench.collection import ReportedCell
from mobile_bench.record import Phases
from mobile_bench.report.axes import Axes, from_zero
from mobile_bench.report.records.rows import (
    AXIS,
    LEFT,
    RIGHT,
    ROW,
    TOP,
    legend,
    mib_text,
    ms_text,
    row_text,
    rows_bottom,
    style,
    text_height,
)
from mobile_bench.report.svg import element, frame, line

_MIB = 2**20


def call_taken_apart(name: str, cells: Sequence[ReportedCell]) -> Markup:
    """Return two bars a cell: a whole call, prompt and search apart, and a call with one new item."""
    found = [(cell, cell.phases) for cell in cells if cell.phases is not None]
    longest = max(max(phases.whole.p50_high, phases.incremental.p50_high) for _, phases in found)
    axes = Axes(LEFT, TOP, RIGHT, TOP + ROW * len(found), from_zero(1.02 * longest), from_zero(1))
    parts = axes.x_grid() + legend([("", "prompt"), ("light", "search and the rest"), ("outline", "one new item")])
    for row, (cell, phases) in enumerate(found):
        parts += _phase_bars(axes, row, cell, phases)
    parts += axes.x_axis("milliseconds, medians")
    said = "; ".join(
        f"{cell.number}, {cell.name}: whole call {ms_text(phases.whole.p50)} ms, of it prompt "
        f"{ms_text(phases.prefill.p50)} ms; one new item {ms_text(phases.incremental.p50)} ms"
        for cell, phases in found
    )
    return frame(name, "A call taken apart", f"{said}.", axes.bottom + AXIS, parts)


def _phase_bars(axes: Axes, row: int, cell: ReportedCell, phases: Phases) -> list[Markup]:
    y, whole, new = TOP + ROW * row + 22, phases.whole, phases.incremental
    prompt = min(max(phases.prefill.p50, 0.0), whole.p50)
    return [
        row_text(cell, text_height(row), f"{ms_text(whole.p50)} · {ms_text(new.p50)} ms"),
        _bar(axes, y, 13, whole.p50, f"bar light {style(cell)}"),
        _bar(axes, y, 13, prompt, f"bar {style(cell)}"),
        _interval(axes, y + 6.5, whole.p50_low, whole.p50_high),
        _bar(axes, y + 18, 10, new.p50, f"bar outline {style(cell)}"),
        _interval(axes, y + 23, new.p50_low, new.p50_high),
    ]


def memory_peaks(name: str, cells: Sequence[ReportedCell]) -> Markup:
    """Return bars a cell: the most that was resident, and the most that was anonymous and file-backed."""
    memories = [(cell, cell.record.memory) for cell in cells]
    most = max(memory.peak_memory_bytes for _, memory in memories) / _MIB
    axes = Axes(LEFT, TOP, RIGHT, rows_bottom(cells), from_zero(1.02 * most), from_zero(1))
    parts = axes.x_grid() + legend(
        [("light", "peak"), ("", "anonymous"), ("outline", "file-backed"), ("mark before", "before open")]
    )
    said = []
    for row, (cell, memory) in enumerate(memories):
        y = TOP + ROW * row + 21
        anonymous, mapped = memory.anonymous_peak_bytes, memory.file_backed_peak_bytes
        before = axes.x(memory.before_open_bytes / _MIB)
        parts.append(row_text(cell, text_height(row), f"peak {mib_text(memory.peak_memory_bytes)} MiB"))
        parts.append(_bar(axes, y, 12, memory.peak_memory_bytes / _MIB, f"bar light {style(cell)}"))
        if anonymous is not None:
            parts.append(_bar(axes, y + 14, 9, anonymous / _MIB, f"bar {style(cell)}"))
        if mapped is not None:
            parts.append(_bar(axes, y + 25, 9, mapped / _MIB, f"bar outline {style(cell)}"))
        parts.append(line(before, y - 2, before, y + 14, "before"))
        said.append(f"{cell.number}, {cell.name}: peak {mib_text(memory.peak_memory_bytes)} MiB")
    parts += axes.x_axis("MiB resident")
    return frame(name, "Memory", f"{'; '.join(said)}.", axes.bottom + AXIS, parts)


def _bar(axes: Axes, y: float, height: float, value: float, class_: str) -> Markup:
    return element(
        "rect", x=axes.left, y=y, width=axes.x(value) - axes.left, height=float(height), rx=2.0, class_=class_
    )


def _interval(axes: Axes, y: float, low: float, high: float) -> Markup:
    return line(axes.x(low), y, axes.x(high), y, "interval")
