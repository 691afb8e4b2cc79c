"""What the pictures with one row a cell share: heights, names, figures, a legend, milliseconds and MiB as text."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mobile_bench.collection import ReportedCell
from mobile_bench.report.marks import colour
from mobile_bench.report.svg import WIDTH, element, join, label, line

LEFT = 14.0
RIGHT = WIDTH - 14.0
TOP = 30.0
"""Below it the rows begin; above it is the legend."""

ROW = 64.0
AXIS = 44.0
"""What an axis with its title takes below the last row."""

_MIB = 2**20
_LETTER = 7.0
_LEGEND_LETTER = 7.6
_SPACE = 12.0


def ms_text(value: float) -> str:
    """Return milliseconds with about three digits."""
    size = abs(value)
    text = f"{size:.2f}" if size < 10 else f"{size:.1f}" if size < 100 else f"{size:,.0f}"
    return f"−{text}" if value < 0 else text


def mib_text(size_bytes: float) -> str:
    """Return bytes as MiB with about three digits."""
    size = size_bytes / _MIB
    return f"{size:.2f}" if size < 10 else f"{size:,.1f}" if size < 1000 else f"{size:,.0f}"


def style(cell: ReportedCell) -> str:
    """Return the CSS class of a cell's colour: that of its bundle."""
    return colour(cell.bundle_index)


def text_height(row: int) -> float:
    """Return where the text of a row stands."""
    return TOP + ROW * row + 14


def rows_bottom(cells: Sequence[ReportedCell]) -> float:
    """Return where the last row ends."""
    return TOP + ROW * len(cells)


def row_text(cell: ReportedCell, y: float, figures: str) -> Markup:
    """Return a row's text above its marks: number and name on the left, shortened if need be, figures on the right."""
    room = int((RIGHT - LEFT - _SPACE) / _LETTER) - len(figures) - len(str(cell.number)) - 2
    name = _shortened(cell.name, room)
    said = join([element("tspan", f"{cell.number}", class_=f"name {style(cell)}"), Markup("  "), Markup.escape(name)])
    return join(
        [
            element("text", said, x=LEFT, y=y, class_="row-name"),
            label(RIGHT, y, figures, anchor="end", class_="tick row-figures"),
        ]
    )


def _shortened(name: str, room: int) -> str:
    """Return a name in so many letters: its middle goes, for names that begin alike often end differently."""
    if len(name) <= room:
        return name
    head = max(room // 3, 1)
    return f"{name[:head]}…{name[head + 1 - room :]}"


def legend(entries: Sequence[tuple[str, str]]) -> list[Markup]:
    """Return what marks mean, in a line at the top: the CSS class of a box, or of a line where it is a `mark`."""
    parts, x = [], LEFT
    for kind, words in entries:
        if kind.startswith("mark"):
            parts.append(line(x + 5, 5, x + 5, 18, f"legend {kind}"))
        else:
            parts.append(element("rect", x=x, y=7.0, width=11.0, height=9.0, rx=2.0, class_=f"legend {kind}"))
        parts.append(label(x + 16, 16, words, class_="tick"))
        x += 16 + _LEGEND_LETTER * len(words) + 10
    return parts
