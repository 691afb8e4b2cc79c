"""The three plots of studies: lines over a setting, rows one below the other, quality against size.

All show NDCG@10 kept with its 95 % interval, and the dense model as a line at 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from odllm.studies.rows import Kept, Row
from odllm.studies.tables import MIB

INK, MUTED, GRID = "#22272e", "#667080", "#e4e7ec"
COLOURS = ("#1f6fb2", "#d1603d", "#3a8f5c", "#8a5ab5", "#b8860b", "#c2497f", "#4a9ba8", "#7a6a58")
MARKERS = "osD^vPX*"
KEPT = "NDCG@10, dense = 100 %, with 95 % intervals"
RECOVERED = " + "
"""What separates, in a line's name, a recipe from what was done after it: the same colour, dashed."""

_DODGE = 0.006
"""Of the width, by which neighbouring lines stand apart, so that their intervals do not hide each other."""


@dataclass(frozen=True)
class Scale:
    """The horizontal axis of a line plot.

    Attributes:
        label: what it shows, with its unit.
        logarithmic: to base 2.
        ticks: place → what stands there; every place that a row has if not given.
    """

    label: str
    logarithmic: bool = False
    ticks: dict[float, str] | None = None


def line_plot(title: str, rows: Sequence[Row], scale: Scale) -> Figure:
    """Return a line for every `Row.line` over `Row.x`."""
    figure, axes = _figure(title, 4.8)
    lines = _lines(rows)
    recipes = list(dict.fromkeys(name.partition(RECOVERED)[0] for name in lines))
    places = [row.x for row in rows if not row.is_dense]
    span = max(places) - min(places) if places else 1.0
    for number, (name, members) in enumerate(lines.items()):
        recipe, after, _ = name.partition(RECOVERED)
        points = [(row.x, row.ndcg_kept) for row in sorted(members, key=lambda row: row.x) if row.ndcg_kept]
        axes.errorbar(
            [_dodged(place, number - (len(lines) - 1) / 2, span, scale) for place, _ in points],
            [kept.ratio for _, kept in points],
            yerr=_bars([kept for _, kept in points]),
            color=COLOURS[recipes.index(recipe) % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            ls="--" if after else "-",
            ms=5,
            lw=1.8,
            elinewidth=1.1,
            capsize=2.5,
            label=name,
        )
    if scale.logarithmic:
        axes.set_xscale("log", base=2)
    ticks = scale.ticks or {row.x: f"{row.x:g}" for row in rows if not row.is_dense}
    axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([ticks[place] for place in sorted(ticks)])
    axes.set_xlabel(scale.label)
    _dense_line(axes, rows, horizontal=True)
    _quality_axis(axes)
    _legend(figure, len(lines) + 1)
    return figure


def row_plot(title: str, rows: Sequence[Row]) -> Figure:
    """Return one point with its interval a row, first row on top."""
    shown = [row for row in rows if not row.is_dense and row.ndcg_kept]
    figure, axes = _figure(title, 1.7 + 0.42 * max(len(shown), 2))
    lines = list(_lines(rows))
    for place, row in enumerate(shown):
        kept = row.ndcg_kept
        assert kept is not None
        colour = COLOURS[lines.index(row.line) % len(COLOURS)]
        axes.errorbar(kept.ratio, place, xerr=_bars([kept]), fmt="o", color=colour, ms=6, capsize=3, lw=1.6)
        axes.annotate(
            f"{kept.ratio:.3f}", (kept.ratio, place), (0, 7), textcoords="offset points", ha="center", fontsize=8,
            color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [row.label.strip("`") for row in shown])
    axes.set_ylim(len(shown) - 0.4, -0.8)
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.set_xlabel(KEPT)
    _dense_line(axes, rows, horizontal=False)
    _legend(figure, 1)
    return figure


def size_plot(title: str, rows: Sequence[Row], dense_line: str) -> Figure:
    """Return quality against the bytes of the weights, a line for every `Row.line`, and the front of the best.

    Args:
        title: above.
        rows: those without a size are left out.
        dense_line: the line that the dense row is drawn on.
    """
    figure, axes = _figure(title, 5.2)
    shown = [row for row in rows if row.ndcg_kept and row.weight_bytes]
    lines: dict[str, list[Row]] = {}
    for row in sorted(shown, key=lambda row: row.weight_bytes):
        lines.setdefault(dense_line if row.is_dense else row.line, []).append(row)
    for number, (name, members) in enumerate(sorted(lines.items())):
        colour, x = COLOURS[number % len(COLOURS)], [row.weight_bytes / MIB for row in members]
        kept = [row.ndcg_kept for row in members if row.ndcg_kept]
        axes.errorbar(
            x,
            [value.ratio for value in kept],
            yerr=_bars(kept),
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            ms=6,
            lw=1.2,
            ls=":",
            elinewidth=1.1,
            capsize=2.5,
            label=name,
        )
        above = number % 2 == 0
        for row, place, value in zip(members, x, kept, strict=True):
            axes.annotate(
                row.precision.replace("-block", "/"),
                (place, value.high if above else value.low),
                (0, 3 if above else -3),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                fontsize=7.5,
                color=colour,
            )
    front = pareto_front([(row.weight_bytes / MIB, row.ndcg_kept.ratio) for row in shown if row.ndcg_kept])
    axes.step(*zip(*front, strict=True), where="post", color=MUTED, lw=5, alpha=0.18, label="best of its size or less")
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    ticks = [2.0**power for power in range(-8, 16) if low <= 2.0**power <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}" for tick in ticks])
    axes.set_xlabel("weights, MiB (logarithmic)")
    _dense_line(axes, rows, horizontal=True)
    _quality_axis(axes)
    _legend(figure, len(lines) + 2)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (size, quality) points that no smaller or equal one reaches in quality, by size."""
    front: list[tuple[float, float]] = []
    for size, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or quality > front[-1][1]:
            front.append((size, quality))
    return front


_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.3g} %")


def _figure(title: str, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.6, height), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=10)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    axes.xaxis.label.set(color=INK, fontsize=9.5)
    axes.yaxis.label.set(color=INK, fontsize=9.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    return figure, axes


def _legend(figure: Figure, entries: int) -> None:
    """Put the legend below the axes, where it hides nothing."""
    columns = min(entries, 3)
    figure.legend(frameon=False, loc="outside lower center", ncols=columns, fontsize=9, labelcolor=INK)


def _lines(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of every line but the dense one, in the order in which the lines first occur."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        if not row.is_dense:
            lines.setdefault(row.line, []).append(row)
    return lines


def _dense_line(axes: Axes, rows: Sequence[Row], *, horizontal: bool) -> None:
    """Draw the dense model: 1 by definition, with what it reaches in the legend."""
    dense = [row for row in rows if row.is_dense]
    words = f"dense: NDCG@10 {dense[0].ndcg_10:.4f}" if len(dense) == 1 else "dense, asked the same"
    draw = axes.axhline if horizontal else axes.axvline
    draw(1.0, color=INK, lw=1.1, ls=(0, (5, 3)), zorder=1, label=words)


def _quality_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.set_ylabel(KEPT)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), max(high, 1.0 + 0.06 * (1.0 - min(low, 1.0)) + 0.01))


def _dodged(place: float, steps: float, span: float, scale: Scale) -> float:
    """Return a place moved by some steps to the side."""
    return float(place * 2 ** (6 * _DODGE * steps)) if scale.logarithmic else place + _DODGE * span * steps


def _bars(kept: Sequence[Kept]) -> list[list[float]]:
    """Return how far the intervals reach below and above their ratios."""
    return [[max(one.ratio - one.low, 0.0) for one in kept], [max(one.high - one.ratio, 0.0) for one in kept]]
