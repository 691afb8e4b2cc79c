"""Cells of tables and headlines, as every page shows them."""

from __future__ import annotations

import msgspec

from mobile_bench.report.content import Measure


class TableCell(msgspec.Struct, frozen=True):
    """A figure, and below it its interval, a part of it, or nothing."""

    figure: str
    small: str = ""


class Tile(msgspec.Struct, frozen=True):
    """One headline: a large figure and what it says."""

    figure: str
    words: str


def measure_cell(measure: Measure) -> TableCell:
    """Return a measure with its interval."""
    if measure.low is None or measure.high is None:
        return TableCell(f"{measure.value:.4f}")
    return TableCell(f"{measure.value:.4f}", f"{measure.low:.4f}–{measure.high:.4f}")


def signed(value: float) -> str:
    """Return a change with its sign, 0 without."""
    text = f"{value:+.4f}"
    return "0" if float(text) == 0 else text.replace("-", "−")
