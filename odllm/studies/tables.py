"""Rows as a Markdown table, in the form that docs/results.md takes as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from odllm.studies.rows import Kept, Row

MIB = 2**20


@dataclass(frozen=True)
class Column:
    """A column: its header and what a row says in it. `text` columns are left-aligned."""

    header: str
    cell: Callable[[Row], str]
    text: bool = False


def show_kept(value: Kept | None) -> str:
    """Return a ratio and its interval, such as `0.941 (0.928 to 0.954)`; the dense model's own is just 1."""
    if value is None:
        return "–"
    if value.low == value.high == value.ratio:
        return f"{value.ratio:.3f}".rstrip("0").rstrip(".")
    return f"{value.ratio:.3f} ({value.low:.3f} to {value.high:.3f})"


def _mib(size: int) -> str:
    return f"{size / MIB:.2f}" if size else "–"


LABEL = Column("", lambda row: row.label, text=True)
KEEP_RATIO = Column("kept, reached", lambda row: f"{row.keep_ratio:.3f}")
PARAMETERS = Column("parameters", lambda row: f"{row.parameters:,}" if row.parameters else "–")
SIZE = Column("weights, MiB", lambda row: _mib(row.weight_bytes))
PROJECTIONS_SIZE = Column("projections, MiB", lambda row: _mib(row.projection_bytes))
HIT_RATE = Column("HR@10", lambda row: f"{row.hit_rate_10:.4f}")
HIT_RATE_KEPT = Column("HR@10 kept", lambda row: show_kept(row.hit_rate_kept))
NDCG = Column("NDCG@10", lambda row: f"{row.ndcg_10:.4f}")
NDCG_KEPT = Column("NDCG@10 kept", lambda row: show_kept(row.ndcg_kept))
QUALITY = (HIT_RATE, HIT_RATE_KEPT, NDCG, NDCG_KEPT)


def seconds_column(row: Row) -> str:
    """Return what compression took, recovery behind a plus sign."""
    if row.is_dense or not row.compression_s:
        return "–"
    return f"{row.compression_s:.0f}" + (f" + {row.recovery_s:.0f}" if row.recovery_s else "")


SECONDS = Column("compression, s", seconds_column)


def markdown(title: str, columns: Sequence[Column], rows: Sequence[Row], notes: Sequence[str], command: str) -> str:
    """Return a section: heading, table, notes, and the command that made it."""
    lines = [
        f"### {title}",
        "",
        line([column.header for column in columns]),
        line(["---" if column.text else "---:" for column in columns]),
        *(line([column.cell(row) for column in columns]) for row in rows),
    ]
    for note in notes:
        lines += ["", note]
    return "\n".join([*lines, "", "```", command, "```", ""])


def line(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"
