"""Scales and axes of the pictures: from a value to a place in the picture, ticks, titles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mobile_bench.report.svg import label, line, tick_text, ticks

_LOG_FROM = 20.0
"""Largest ÷ smallest value from which a scale is logarithmic: on a linear one the small ones would lie together."""


@dataclass(frozen=True)
class Scale:
    """From values to their place between 0 and 1.

    Attributes:
        ticks: values that get a line and a label, ascending.
        low: value at 0.
        high: value at 1.
        is_log: whether equal ratios are equally far apart.
    """

    ticks: list[float]
    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies; beyond 0 … 1 outside the scale, 0 on a logarithmic scale if it is not positive."""
        if not self.is_log:
            return (value - self.low) / (self.high - self.low)
        if value <= 0:
            return 0.0
        return math.log(value / self.low) / math.log(self.high / self.low)

    @property
    def note(self) -> str:
        """What has to be said about it, for an axis' title."""
        if self.is_log:
            return ", logarithmic"
        return "" if self.low == 0 else f", from {tick_text(self.low)}"


def from_zero(highest: float) -> Scale:
    """Return a linear scale from 0 to at least `highest`."""
    marks = ticks(highest)
    return Scale(marks, 0.0, marks[-1])


def between(lowest: float, highest: float) -> Scale:
    """Return a linear scale that begins at 0, or at a round number below `lowest` where 0 is far from all values."""
    if lowest < highest / 2 or lowest == highest:
        return from_zero(highest)
    step = ticks(highest - lowest)[1]
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    marks = [step * i for i in range(first, last + 1)]
    return Scale(marks, marks[0], marks[-1])


def for_costs(values: Sequence[float]) -> Scale:
    """Return a scale for positive values: linear from 0, logarithmic where they are of different magnitudes."""
    lowest, highest = min(values), max(values)
    if lowest <= 0 or highest / lowest < _LOG_FROM:
        return from_zero(1.05 * highest)
    low, high = lowest / 1.3, highest * 1.3
    magnitudes = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if highest / lowest < 1000 else (1,)
    marks = [step * 10.0**magnitude for magnitude in magnitudes for step in steps]
    return Scale([mark for mark in marks if low <= mark <= high], low, high, is_log=True)


@dataclass(frozen=True)
class Axes:
    """A plotting area and its scales."""

    left: float
    top: float
    right: float
    bottom: float
    x_scale: Scale
    y_scale: Scale

    def x(self, value: float) -> float:
        """Return the place of a value from left to right."""
        return self.left + (self.right - self.left) * self.x_scale.place(value)

    def y(self, value: float) -> float:
        """Return the place of a value from the bottom to the top."""
        return self.bottom - (self.bottom - self.top) * self.y_scale.place(value)

    def x_axis(self, title: str) -> list[Markup]:
        """Return the line below, its labels and its title."""
        parts = [line(self.left, self.bottom, self.right, self.bottom, "axis")]
        parts += [
            label(self.x(tick), self.bottom + 17, tick_text(tick), anchor="middle", class_="tick")
            for tick in self.x_scale.ticks
        ]
        middle = (self.left + self.right) / 2
        return [*parts, label(middle, self.bottom + 37, title, anchor="middle", class_="axis-title")]

    def x_grid(self) -> list[Markup]:
        """Return a line at every tick, from top to bottom."""
        places = [self.x(tick) for tick in self.x_scale.ticks]
        return [line(x, self.top, x, self.bottom, "grid") for x in places]

    def y_axis(self, title: str) -> list[Markup]:
        """Return a line at every tick, its label, and the title above."""
        parts = []
        for tick in self.y_scale.ticks:
            parts.append(line(self.left, self.y(tick), self.right, self.y(tick), "grid"))
            parts.append(label(self.left - 7, self.y(tick) + 4, tick_text(tick), anchor="end", class_="tick"))
        return [*parts, label(2, self.top - 14, title, class_="axis-title")]
