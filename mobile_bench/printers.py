"""Tables of records for people and programs: Markdown, CSV, JSON, JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from mobile_bench.compare import Row
from mobile_bench.verdict import Comparison

_MIB = 2**20
_HEADER = (
    *("bundle, provider, threads", "p50 ms", "p90 ms", "one new item ms", "load ms", "peak MiB", "disk MiB"),
    *("matrix products", "items", "NDCG@10"),
)


def markdown(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> str:
    """Return a table fit for a README, and a line for each comparison and each reason not to quote a row."""
    lines = [table_line(_HEADER), table_line(["---"] + ["---:"] * (len(_HEADER) - 1))]
    lines += [table_line(_cells(row)) for row in rows]
    notes = [f"- {sentence(one)}" for one in comparisons]
    notes += [f"- {row.label}: {reason}" for row in rows for reason in row.reasons]
    return "\n".join([*lines, "", *notes, ""] if notes else [*lines, ""])


def as_csv(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> str:
    """Return the rows as CSV with a header; what a cell does not have is empty. Comparisons are not in it."""
    text = io.StringIO()
    names = list(Row.__struct_fields__)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in map(msgspec.to_builtins, rows))
    return text.getvalue()


def as_json(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> str:
    """Return rows and comparisons as one JSON object."""
    found = {"rows": msgspec.to_builtins(rows), "comparisons": msgspec.to_builtins(comparisons)}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def json_lines(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> str:
    """Return one JSON object a line: rows first, then comparisons."""
    return "".join(json.dumps(msgspec.to_builtins(one), ensure_ascii=False) + "\n" for one in (*rows, *comparisons))


PRINTERS: Mapping[str, Callable[[Sequence[Row], Sequence[Comparison]], str]] = {
    "md": markdown,
    "csv": as_csv,
    "json": as_json,
    "jsonl": json_lines,
}
"""By the name that the command line uses."""


def sentence(comparison: Comparison) -> str:
    """Return a comparison in words."""
    one = comparison
    words = {
        "equal": "equal within 5 %",
        "faster": "faster",
        "slower": "slower",
        "unclear": "unclear: the interval is too wide to tell",
    }
    return (
        f"{one.one} ÷ {one.other}: {one.ratio:.3f} ({one.low:.3f} to {one.high:.3f}, {one.clock} time, paired by "
        f"{one.paired_by}): {words[one.verdict]}" + "".join(f"; {note}" for note in one.notes)
    )


def _cells(row: Row) -> list[str]:
    times = (row.wall_ms_p50, row.wall_ms_p90, row.incremental_ms_p50, row.load_cold_ms)
    return [
        row.label + ("" if row.valid else " !"),
        *("–" if time is None else f"{time:.2f}" for time in times),
        *(f"{size / _MIB:.1f}" for size in (row.peak_memory_bytes, row.bundle_bytes)),
        f"{row.products_taken}/{row.products}",
        "–" if row.overlap is None else f"{row.overlap:.1%}",
        "–" if row.ndcg_10 is None else f"{row.ndcg_10:.4f}",
    ]


def table_line(cells: Sequence[str]) -> str:
    """Return one line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
