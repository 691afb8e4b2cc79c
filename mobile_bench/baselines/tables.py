"""The benchmark's summary as tables for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mobile_bench.baselines.rows import ROWS
from mobile_bench.baselines.summary import Summary

_MIB = 2**20


def print_summary(summary: Summary, console: Console) -> None:
    """Print rows, limits, ratios and exports."""
    console.print(_rows_table(summary))
    for line in _wrong_lists(summary):
        console.print(line, highlight=False)
    console.print(_limits_table(summary))
    for name, ratio in summary.ratio_intervals.items():
        line = f"{name}: {ratio.cpu:.2f} ({ratio.cpu_low:.2f} to {ratio.cpu_high:.2f}) of CPU time"
        console.print(line, highlight=False)
    console.print(f"time over operations, long prompt over usual: {summary.long_prompt_growth:.2f}", highlight=False)
    for name, export in summary.exports.items():
        share = export.peak_memory_bytes / export.model_bytes
        took = f"{export.seconds:.1f} s ({export.cpu_seconds:.1f} s of CPU)"
        line = f"export of {name}: {took}, peak {share:.2f} × the model's bytes"
        console.print(line, highlight=False)


def _rows_table(summary: Summary) -> Table:
    title = f"{summary.shape.name}, prompt {summary.prompt_tokens} tokens, 1 thread, {summary.machine.cpu_model}"
    table = _table(title, ("row", "CPU ms", "wall ms", "peak MiB", "identical lists", "overlap"))
    found = {row.name: row for row in summary.rows}
    for spec in ROWS:
        if spec.name in summary.skipped:
            table.add_row(spec.name, "skipped", "", "", "", summary.skipped[spec.name])
            continue
        row = found[spec.name]
        lists = (f"{row.identical_lists} of {row.histories}", f"{row.mean_overlap:.0%}") if row.reference else ("", "")
        times = (f"{row.cpu_ms_p50:.0f}", f"{row.wall_ms_p50:.0f}", f"{row.peak_memory_bytes / _MIB:.0f}")
        table.add_row(row.name, *times, *lists)
    return table


def _wrong_lists(summary: Summary) -> list[str]:
    """Return a line for every row that had to repeat another's lists and did not."""
    must = {spec.name for spec in ROWS if spec.exact}
    return [
        f"{row.name} gives other lists than {row.reference}, {row.identical_lists} of {row.histories} identical: "
        "its time is that of another answer"
        for row in summary.rows
        if row.name in must and row.identical_lists < row.histories
    ]


def _limits_table(summary: Summary) -> Table:
    peaks = summary.peaks
    title = (
        f"limits of one thread in this run: {peaks.float_gflops:.0f} GFLOP/s float32, "
        f"{peaks.integer_gops:.0f} GOP/s int8, {peaks.memory_gb:.1f} GB/s from memory"
    )
    columns = ("row", "GFLOP", "MB weights", "MB keys, values", "GFLOP/s", "GB/s", "least ms", "limit", "share of it")
    table = _table(title, columns)
    for row in summary.rows:
        if (found := row.roofline) is None:
            continue
        moved = (f"{found.weight_mb:.0f}", f"{found.cache_mb:.0f}")
        rates = (f"{found.gflops:.1f}", f"{found.gb_per_s:.1f}")
        least = f"{max(found.products_ms, found.memory_ms):.0f}"
        table.add_row(row.name, f"{found.gflop:.1f}", *moved, *rates, least, found.limit, f"{found.share:.0%}")
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == "row" else "right")
    return table
