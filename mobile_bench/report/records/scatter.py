"""The picture of quality against a cost, with intervals, numbers and the front."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from mobile_bench.report.axes import Axes, between, for_costs
from mobile_bench.report.marks import colour, upright_interval
from mobile_bench.report.records.pareto import Point
from mobile_bench.report.svg import WIDTH, element, frame, label, line

_HEIGHT = 300.0
_RADIUS = 5.0
_DISTANCES = (16.0, 24.0, 34.0, 46.0)
_DIRECTIONS = (45, 135, -45, -135, 20, 160, -20, -160, 70, 110, -70, -110, 0, 180)

Place = tuple[float, float]


def scatter(
    name: str, title: str, points: Sequence[Point], front: Sequence[Point], *, quality: str, cost: str, unit: float
) -> Markup:
    """Return a picture of quality (upwards) over cost (to the right).

    Args:
        name: of the picture in the page.
        title: of the picture.
        points: at least one.
        front: those that no other beats, cheapest first.
        quality: title of its axis.
        cost: title of its axis.
        unit: of the cost on the axis; the points' costs are divided by it.
    """
    axes = _axes(points, unit)
    parts = axes.y_axis(quality + axes.y_scale.note) + axes.x_grid() + axes.x_axis(cost + axes.x_scale.note)
    if front:
        parts.append(element("path", d=_staircase(axes, front, unit), class_="front"))
    for point in points:
        parts += _intervals(axes, point, unit)
    parts += [_dot(axes, point, unit) for point in points]
    parts += _numbers(axes, points, unit)
    said = [f"{p.numbers}, {p.name}: {p.quality.value:.4g} at {p.cost.value / unit:.4g}" for p in points]
    leading = ", ".join(point.name for point in front) or "no cell"
    return frame(name, title, f"{quality} over {cost}. {'; '.join(said)}. On the front: {leading}.", _HEIGHT, parts)


def _axes(points: Sequence[Point], unit: float) -> Axes:
    ends = [value for p in points for value in (p.quality.value, p.quality.low, p.quality.high) if value is not None]
    costs = [p.cost.high or p.cost.value for p in points] + [p.cost.value for p in points]
    reach = max(ends) - min(ends)
    quality = between(max(min(ends) - 0.08 * reach, 0.0), min(max(ends) + 0.08 * reach, 1.0))
    return Axes(48, 34, WIDTH - 14, _HEIGHT - 44, for_costs([value / unit for value in costs]), quality)


def _at(axes: Axes, point: Point, unit: float) -> Place:
    return axes.x(point.cost.value / unit), axes.y(point.quality.value)


def _staircase(axes: Axes, front: Sequence[Point], unit: float) -> str:
    """Return the border of what is beaten: from the cheapest member to the right, up at every next one."""
    x, y = _at(axes, front[0], unit)
    path = f"M{x:.1f} {axes.bottom:.1f}V{y:.1f}"
    for point in front[1:]:
        x, y = _at(axes, point, unit)
        path += f"H{x:.1f}V{y:.1f}"
    return path + f"H{axes.right:.1f}"


def _intervals(axes: Axes, point: Point, unit: float) -> list[Markup]:
    style, (x, y), parts = _style(point), _at(axes, point, unit), []
    if point.quality.low is not None and point.quality.high is not None:
        parts += upright_interval(x, axes.y(point.quality.low), axes.y(point.quality.high), f"thin {style}")
    if point.cost.low is not None and point.cost.high is not None:
        parts.append(line(axes.x(point.cost.low / unit), y, axes.x(point.cost.high / unit), y, f"whisker {style}"))
    return parts


def _dot(axes: Axes, point: Point, unit: float) -> Markup:
    x, y = _at(axes, point, unit)
    said = element("title", f"{point.name}: {point.quality.value:.4g} at {point.cost.value / unit:.4g}")
    return element("circle", said, cx=x, cy=y, r=_RADIUS, class_=f"dot {_style(point)}")


def _style(point: Point) -> str:
    return colour(point.cells[0].bundle_index) + ("" if point.may_lead else " hollow")


def _numbers(axes: Axes, points: Sequence[Point], unit: float) -> list[Markup]:
    """Return the points' numbers, each where it meets no dot and no other number, on a short line if need be."""
    dots = [_at(axes, point, unit) for point in points]
    taken: list[tuple[Place, float]] = []
    parts = []
    for point, dot in zip(points, dots, strict=True):
        half = 4.0 * len(point.numbers)
        place, distance = _free_place(axes, dot, half, dots, taken)
        taken.append((place, half))
        if distance > _DISTANCES[0]:
            parts.append(line(*dot, *place, "leader"))
        # The text covers the end of its line: it has a border of the card's colour.
        parts.append(label(place[0], place[1] + 4, point.numbers, anchor="middle", class_="number"))
    return parts


def _free_place(
    axes: Axes, dot: Place, half: float, dots: Sequence[Place], taken: Sequence[tuple[Place, float]]
) -> tuple[Place, float]:
    for distance in _DISTANCES:
        for degrees in _DIRECTIONS:
            angle = math.radians(degrees)
            x, y = dot[0] + (distance + half - 4) * math.cos(angle), dot[1] - distance * math.sin(angle)
            if _is_free(axes, (x, y), half, dots, taken):
                return (x, y), distance
    return (dot[0], dot[1] - _DISTANCES[0]), _DISTANCES[0]


def _is_free(
    axes: Axes, place: Place, half: float, dots: Sequence[Place], taken: Sequence[tuple[Place, float]]
) -> bool:
    x, y = place
    if not (axes.left + half < x < axes.right - half and axes.top + 6 < y < axes.bottom - 6):
        return False
    if any(abs(x - other) < half + _RADIUS + 1 and abs(y - height) < 6 + _RADIUS for other, height in dots):
        return False
    return all(abs(x - other) > half + width + 2 or abs(y - height) > 13 for (other, height), width in taken)
