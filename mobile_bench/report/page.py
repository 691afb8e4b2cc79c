"""Content in, one HTML file out."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mobile_bench.report import plots
from mobile_bench.report.content import Measure, PrecisionComparison, PrecisionResult, Report, Variant
from mobile_bench.report.html_file import render
from mobile_bench.report.marks import colour
from mobile_bench.report.tables import TableCell, Tile, measure_cell, signed
from mobile_bench.statistics import percentile
from odllm_artifact import write_text

_MIB = 2**20


class TableRow(msgspec.Struct, frozen=True):
    """One figure of all variants: its name, a cell a variant, and the last ÷ the first as text."""

    name: str
    cells: list[TableCell]
    change: str


class PrecisionTableRow(msgspec.Struct, frozen=True):
    """One precision: its name, what is stored, and a cell a column."""

    name: str
    description: str
    cells: list[TableCell]


def render_report(report: Report) -> str:
    """Return the report as one HTML page that needs no network."""
    return render(
        "report.html.jinja",
        report=report,
        tiles=tiles(report),
        table=table(report),
        quality_plot=plots.quality_against_size(report.variants, report.baselines),
        time_plot=plots.time_distribution(report.variants),
        ranks_plot=plots.ranks_per_layer(report.ranks) if report.ranks else None,
        precisions=precision_rows(report.precisions) if report.precisions else [],
        measure=measure_cell,
        colour=colour,
    )


def write_report(report: Report, path: Path) -> None:
    """Write the report as one HTML file; an older one is replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_report(report))


def tiles(report: Report) -> list[Tile]:
    """Return the headlines: the last variant against the first. None where there is only one."""
    if len(report.variants) < 2:
        return []
    dense, small = report.variants[0], report.variants[-1]
    size = small.bundle_bytes / dense.bundle_bytes
    memory = small.peak_memory_bytes / dense.peak_memory_bytes
    time = _p(small, 50) / _p(dense, 50)
    found = [
        Tile(_percent(size), "of the size on disk"),
        Tile(_percent(time), "of the time to top-k"),
        Tile(_percent(memory), "of the peak memory"),
    ]
    if dense.ndcg_10.value > 0:
        found.insert(0, Tile(_percent(small.ndcg_10.value / dense.ndcg_10.value), "of the quality (NDCG@10)"))
    return found


def table(report: Report) -> list[TableRow]:
    """Return the summary table, one row a figure."""
    variants = report.variants
    return [
        _row("Parameters", [v.parameters for v in variants], "{:,.0f}"),
        _row("On disk, MiB", [v.bundle_bytes / _MIB for v in variants], "{:,.1f}"),
        _measured("HR@10", [v.hit_rate_10 for v in variants]),
        _measured("NDCG@10", [v.ndcg_10 for v in variants]),
        _row("Time p50, ms", [_p(v, 50) for v in variants], "{:,.2f}"),
        _row("Time p90, ms", [_p(v, 90) for v in variants], "{:,.2f}"),
        _row("Peak memory, MiB", [v.peak_memory_bytes / _MIB for v in variants], "{:,.1f}"),
    ]


def precision_rows(comparison: PrecisionComparison) -> list[PrecisionTableRow]:
    """Return the table of precisions: size, lists, quality, and the change of quality from the first."""
    return [PrecisionTableRow(one.name, one.description, _precision_cells(one)) for one in comparison.results]


def _precision_cells(one: PrecisionResult) -> list[TableCell]:
    return [
        TableCell(f"{one.bundle_bytes / _MIB:,.2f}", f"weights {one.weight_bytes / _MIB:,.2f}"),
        TableCell(f"{100 * one.overlap:.1f} %"),
        TableCell(f"{100 * one.same_first_item:.1f} %"),
        measure_cell(one.hit_rate_10),
        measure_cell(one.ndcg_10),
        _change_cell(one.ndcg_10_change),
    ]


def _change_cell(change: Measure | None) -> TableCell:
    if change is None:
        return TableCell("")
    if change.low is None or change.high is None:
        return TableCell(signed(change.value))
    return TableCell(signed(change.value), f"{signed(change.low)} to {signed(change.high)}")


def _row(name: str, values: list[float], form: str) -> TableRow:
    return TableRow(name, [TableCell(form.format(value)) for value in values], _change(values))


def _measured(name: str, measures: list[Measure]) -> TableRow:
    return TableRow(name, [measure_cell(one) for one in measures], _change([one.value for one in measures]))


def _change(values: list[float]) -> str:
    return f"{values[-1] / values[0]:.2f}×" if len(values) > 1 and values[0] > 0 else ""


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.0f} %"


def _p(variant: Variant, percent: float) -> float:
    return percentile(variant.time_to_top_k_ms, percent)
