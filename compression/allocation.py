"""Which rank every projection gets: one global budget over the factored matrices.

The paper's rule is the same kept fraction everywhere. Around it stands what the rule forgets: a factored
matrix must be smaller than the dense one, small key and value matrices need a floor, and hardware likes
multiples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from compression.errors import ConfigError, KeepRatioError, RankError

Shape = tuple[int, int]
"""(rows m, columns n) of a dense projection."""


@dataclass(frozen=True)
class RankPlan:
    """Ranks within a budget.

    Attributes:
        shapes: (m, n) of every projection by full module name, in forward order.
        ranks: rank of every projection that becomes two factors; the others stay dense.
        keep_ratio: what was asked for.
    """

    shapes: Mapping[str, Shape]
    ranks: Mapping[str, int] = field(default_factory=dict)
    keep_ratio: float = 1.0

    @property
    def parameters_before(self) -> int:
        """Parameters of all projections, dense."""
        return sum(rows * columns for rows, columns in self.shapes.values())

    @property
    def parameters_after(self) -> int:
        """Parameters of all projections under the plan."""
        return _cost(self.shapes, self.ranks)

    @property
    def achieved_keep_ratio(self) -> float:
        """Kept ÷ original parameters of the projections, dense ones included."""
        return self.parameters_after / self.parameters_before


def check_keep_ratio(keep_ratio: float) -> None:
    """Check that a keep ratio can mean something.

    Raises:
        KeepRatioError: it is not in (0, 1].
    """
    if not 0 < keep_ratio <= 1:
        raise KeepRatioError(
            f"keep_ratio is {keep_ratio}; expected above 0 and at most 1 (the kept fraction of the "
            "parameters: 0.5 halves the factored matrices, 1 leaves them dense)"
        )


def uniform_rank(shape: Shape, keep_ratio: float) -> int:
    """Return r = ⌊ρ·m·n/(m+n)⌋, the rank whose factors hold the fraction ρ of a dense (m, n) matrix.

    Source: OD-LLM's (SVD-LLM's) uniform rule.
    """
    rows, columns = shape
    return int(keep_ratio * rows * columns / (rows + columns))


def break_even_rank(shape: Shape) -> int:
    """Return the largest rank whose two factors are smaller than the dense (m, n) matrix."""
    rows, columns = shape
    return (rows * columns - 1) // (rows + columns)


def check_plan(plan: RankPlan, shapes: Mapping[str, Shape]) -> RankPlan:
    """Return `plan` if it is one for projections of these shapes.

    Raises:
        RankError: a projection is missing, unknown or of another shape, or a rank does not pay.
    """
    wrong = [f"{name} is not in the plan" for name in shapes if name not in plan.shapes]
    wrong += [f"the model has no {name}" for name in plan.shapes if name not in shapes]
    wrong += [
        f"{name} is {list(shapes[name])} in the model and {list(shape)} in the plan"
        for name, shape in plan.shapes.items()
        if name in shapes and tuple(shapes[name]) != tuple(shape)
    ]
    if wrong:
        raise RankError(
            f"the plan is for another model: {few(wrong)}. Make a plan for this model (--dry-run --write-plan)."
        )
    wrong += [f"{name} has a rank but no shape" for name in plan.ranks if name not in shapes]
    wrong += [
        f"{name} ({shapes[name][0]} × {shapes[name][1]}) has rank {rank}, expected 1 to {break_even_rank(shapes[name])}"
        for name, rank in plan.ranks.items()
        if name in shapes and not 1 <= rank <= break_even_rank(shapes[name])
    ]
    if wrong:
        raise RankError(
            f"ranks that do not fit: {few(wrong)}. Above that the factors are larger than the matrix, and less exact: "
            "leave it dense instead."
        )
    return plan


def few(problems: Sequence[str], most: int = 4) -> str:
    """Return the first problems in one line, and how many more there are."""
    more = f" and {len(problems) - most} more" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more


def plan_ranks(
    shapes: Mapping[str, Shape],
    keep_ratio: float,
    *,
    multiple: int = 1,
    floor: int = 1,
    dense: tuple[str, ...] = (),
) -> RankPlan:
    """Spend `keep_ratio` of the projections' parameters on ranks.

    Where neither floors nor dense projections ask for more than their share this is the paper's uniform rule;
    otherwise one smaller fraction is found for the rest, so that the whole stays within the same budget.

    Args:
        shapes: (m, n) by full module name.
        keep_ratio: kept ÷ original parameters, over all of `shapes`.
        multiple: ranks are rounded to the nearest multiple of this.
        floor: no rank below this (a matrix too small for it stays dense).
        dense: patterns (`model.layers.0.mlp.*`) of projections that stay dense, paid for by the others.

    Raises:
        KeepRatioError: the ratio is outside (0, 1], or too small for the floors and dense projections.
        ConfigError: a pattern fits nothing, or `multiple` or `floor` is below 1.
    """
    check_keep_ratio(keep_ratio)
    if multiple < 1 or floor < 1:
        raise ConfigError(f"rank multiple is {multiple} and floor is {floor}; expected at least 1 each")
    kept = _matching(shapes, dense)
    if keep_ratio == 1:
        return RankPlan(dict(shapes))
    budget = int(keep_ratio * sum(rows * columns for rows, columns in shapes.values()))

    def ranks_at(fraction: float) -> dict[str, int]:
        ranks = {
            name: _rounded(uniform_rank(shape, fraction), multiple, floor)
            for name, shape in shapes.items()
            if name not in kept
        }
        return {name: rank for name, rank in ranks.items() if rank <= break_even_rank(shapes[name])}

    ranks = _largest_within(lambda fraction: _cost(shapes, ranks_at(fraction)) <= budget, keep_ratio, ranks_at)
    if ranks is None:
        smallest = _cost(shapes, ranks_at(0.0)) / RankPlan(dict(shapes)).parameters_before
        raise KeepRatioError(
            f"keep_ratio {keep_ratio} cannot be met: the smallest ranks allowed ({floor}, in multiples of "
            f"{multiple}) and {len(kept)} dense projections already need {smallest:.4f}. Raise keep_ratio to "
            "that, or lower the floor, the multiple or the number of dense projections."
        )
    if multiple > 1:
        _spend_rest(shapes, ranks, keep_ratio, budget, multiple)
    return RankPlan(dict(shapes), ranks, keep_ratio)


def _spend_rest(
    shapes: Mapping[str, Shape], ranks: dict[str, int], keep_ratio: float, budget: int, multiple: int
) -> None:
    """Raise the ranks that rounding cut most by one multiple each, as far as the budget goes.

    Projections of equal shape round alike, so one common fraction would waste up to a multiple on all of them.
    """
    left = budget - _cost(shapes, ranks)
    for name in sorted(ranks, key=lambda name: ranks[name] / max(uniform_rank(shapes[name], keep_ratio), 1)):
        price = multiple * sum(shapes[name])
        if price <= left and ranks[name] + multiple <= break_even_rank(shapes[name]):
            ranks[name] += multiple
            left -= price


def _matching(shapes: Mapping[str, Shape], patterns: tuple[str, ...]) -> set[str]:
    names: set[str] = set()
    for pattern in patterns:
        found = {name for name in shapes if fnmatchcase(name, pattern)}
        if not found:
            raise ConfigError(f"no projection is called {pattern!r}; names are like {next(iter(shapes), 'none')!r}")
        names |= found
    return names


def _rounded(rank: int, multiple: int, floor: int) -> int:
    nearest = (rank + multiple // 2) // multiple * multiple
    lowest = -(-floor // multiple) * multiple
    return max(nearest, lowest)


def _cost(shapes: Mapping[str, Shape], ranks: Mapping[str, int]) -> int:
    return sum(
        ranks[name] * (rows + columns) if name in ranks else rows * columns for name, (rows, columns) in shapes.items()
    )


def _largest_within(
    affordable: Callable[[float], bool], fraction: float, ranks_at: Callable[[float], dict[str, int]]
) -> dict[str, int] | None:
    """Return the ranks at the largest affordable fraction up to `fraction`, None where not even 0 is."""
    if affordable(fraction):
        return ranks_at(fraction)
    low, high = 0.0, fraction
    if not affordable(low):
        return None
    for _ in range(50):  # halving 50 times resolves a fraction finer than one parameter of any model
        middle = (low + high) / 2
        low, high = (middle, high) if affordable(middle) else (low, middle)
    return ranks_at(low)
