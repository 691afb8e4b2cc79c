"""Ranks where they pay most: a budget spent step by step on the projection that gains most for its price.

Each projection has a curve: what is lost at every rank. Of its points those on the lower convex hull count, along which
every further step gains less a unit of cost than the one before. Under that condition greedy choice is optimal: no
other ranks of equal cost lose less (concave gains are exhausted in the order of their slopes). Singular values fall, so
in parameters all ranks are on the hull. The end of the budget may fall inside a step; what is left then goes to steps
that still fit, and the result is within one step of the optimum.

A projection whose ranks have been bought up to the break-even becomes dense, which costs little more and loses nothing.
It does not jump there from a lower rank, although sums of losses would favour that for flat spectra: it starves the
other projections, where losses stop adding up (measured: half as much divergence without the jump).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compression.allocation import Budget, RankPlan, break_even_rank, uniform_rank
from compression.costs import Shape

LEAST_SHARE = 0.25
"""No rank below this share of the uniform one: losses are measured near it and say little far below.

It is the small key and value matrices of grouped queries that would fall there.
"""


@dataclass(frozen=True)
class _Option:
    """One way to keep a projection; rank None is dense."""

    rank: int | None
    cost: float
    loss: float


def allocate(shapes: Mapping[str, Shape], losses: Mapping[str, Sequence[float]], budget: Budget) -> RankPlan:
    """Return the ranks within a budget that lose least in sum.

    Args:
        shapes: (m, n) by full module name.
        losses: what each projection loses at rank 0, 1, 2 …, never rising; dense loses nothing.
        budget: for all of `shapes`; no rank falls below `LEAST_SHARE` of the uniform one either.

    Raises:
        KeepRatioError: the budget is too small for the floors and dense projections.
        ConfigError: a pattern of the budget fits nothing.
    """
    options = _all_options(shapes, losses, budget)
    if budget.keep_ratio == 1:
        return RankPlan(dict(shapes))
    at = _climb(options, budget.total(shapes))
    ranks = {name: point.rank for name, point in at.items() if point.rank is not None}
    return RankPlan(dict(shapes), ranks, budget.keep_ratio)


def check_budget(shapes: Mapping[str, Shape], budget: Budget) -> None:
    """Check before anything is measured that `allocate` can meet a budget.

    Raises:
        KeepRatioError: as `allocate`.
        ConfigError: as `allocate`.
    """
    _all_options(shapes, {name: (0.0,) * (min(shape) + 1) for name, shape in shapes.items()}, budget)


def _all_options(
    shapes: Mapping[str, Shape], losses: Mapping[str, Sequence[float]], budget: Budget
) -> dict[str, list[_Option]]:
    """Return every projection's options, cheapest first, of which the cheapest fit into the budget."""
    kept, costs = budget.stays_dense(shapes), budget.costs
    options = {}
    for name, shape in shapes.items():
        least = max(budget.floor, int(LEAST_SHARE * uniform_rank(shape, budget.keep_ratio)), 1)
        first = -(-least // budget.multiple) * budget.multiple
        ranks = [] if name in kept else range(first, break_even_rank(shape) + 1, budget.multiple)
        points = [_Option(r, costs.factored(shape, r), losses[name][r]) for r in ranks if budget.pays(shape, r)]
        options[name] = [*points, _Option(None, costs.dense(shape), 0.0)]
    budget.require(sum(points[0].cost for points in options.values()), shapes)
    return options


def _steps(points: Sequence[_Option], limit: float = float("inf")) -> list[_Option]:
    """Return the options to go through in order: the lower hull of all ranks that cost up to `limit`, then dense."""
    hull: list[_Option] = []
    for point in points:
        if point.cost > limit:
            break
        if hull and point.cost <= hull[-1].cost:  # the same price buys more
            hull.pop()
        while len(hull) > 1 and point.rank is not None and _gain(hull[-2], hull[-1]) <= _gain(hull[-2], point):
            hull.pop()
        hull.append(point)
    return hull


def _gain(lower: _Option, higher: _Option) -> float:
    """Loss avoided a unit of cost."""
    return (lower.loss - higher.loss) / (higher.cost - lower.cost)


def _climb(options: Mapping[str, list[_Option]], budget: float) -> dict[str, _Option]:
    """Take steps in the order of their gain as far as the budget goes, and return where that leads."""
    paths = {name: _steps(points) for name, points in options.items()}
    left = budget - sum(path[0].cost for path in paths.values())
    names = list(paths)
    heap = [(-_gain(*path[:2]), number) for number, path in enumerate(paths.values()) if len(path) > 1]
    heapq.heapify(heap)
    while heap:
        _, number = heapq.heappop(heap)
        name = names[number]
        now, after = paths[name][:2]
        if after.cost - now.cost <= left:
            left -= after.cost - now.cost
            del paths[name][0]
        else:  # what cannot be paid for any more must not hide the smaller steps
            further = [point for point in options[name] if point.cost >= now.cost]
            paths[name] = _steps(further, now.cost + left)
        if len(paths[name]) > 1:
            heapq.heappush(heap, (-_gain(*paths[name][:2]), number))
    return {name: path[0] for name, path in paths.items()}
