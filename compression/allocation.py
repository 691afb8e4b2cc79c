"""Which rank every projection gets: one global budget over the factored matrices.

The paper's rule is the same kept fraction everywhere. Around it stands what the rule forgets: a factored
matrix must be smaller than the dense one, small key and value matrices need a floor, and hardware likes
multiples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from compression.costs import PARAMETERS, Costs, Shape
from compression.errors import ConfigError, KeepRatioError, RankError


@dataclass(frozen=True)
class RankPlan:
    """Ranks within a budget.

    Attributes:
        shapes: (m, n) of every projection by full module name, in forward order.
        ranks: rank of every projection that becomes two factors; the others stay dense.
        keep_ratio: what was asked for, in the currency of the budget.
    """

    shapes: Mapping[str, Shape]
    ranks: Mapping[str, int] = field(default_factory=dict)
    keep_ratio: float = 1.0

    @property
    def stacked(self) -> bool:
        """Whether projections that read one input are one matrix here, with one input factor."""
        return any("+" in name for name in self.shapes)

    @property
    def parameters_before(self) -> int:
        """Parameters of all projections, dense."""
        return sum(rows * columns for rows, columns in self.shapes.values())

    @property
    def parameters_after(self) -> int:
        """Parameters of all projections under the plan."""
        return int(self.cost(PARAMETERS))

    @property
    def achieved_keep_ratio(self) -> float:
        """Kept ÷ original parameters of the projections, dense ones included."""
        return self.parameters_after / self.parameters_before

    def cost(self, costs: Costs) -> float:
        """Cost of all projections under the plan."""
        return _cost(self.shapes, self.ranks, costs)


@dataclass(frozen=True)
class Budget:
    """What the ranks of a model may cost together, and in which steps they are given.

    Attributes:
        keep_ratio: kept ÷ original cost, over all projections.
        multiple: ranks are multiples of this.
        floor: no rank below this (a matrix too small for it stays dense).
        dense: patterns (`model.layers.0.mlp.*`) of projections that stay dense, paid for by the others.
        costs: of the budget's currency.

    Raises:
        KeepRatioError: the ratio is outside (0, 1].
        ConfigError: `multiple` or `floor` is below 1.
    """

    keep_ratio: float
    multiple: int = 1
    floor: int = 1
    dense: tuple[str, ...] = ()
    costs: Costs = PARAMETERS

    def __post_init__(self) -> None:
        if not 0 < self.keep_ratio <= 1:
            raise KeepRatioError(
                f"keep_ratio is {self.keep_ratio}; expected above 0 and at most 1 (the kept fraction of the "
                "parameters: 0.5 halves the factored matrices, 1 leaves them dense)"
            )
        if self.multiple < 1 or self.floor < 1:
            raise ConfigError(f"rank multiple is {self.multiple} and floor is {self.floor}; expected at least 1 each")

    def total(self, shapes: Mapping[str, Shape]) -> float:
        """Return what all projections may cost together."""
        return self.keep_ratio * _cost(shapes, {}, self.costs)

    def pays(self, shape: Shape, rank: int) -> bool:
        """Whether the factors of a rank are smaller than the dense matrix and cost less."""
        return rank <= break_even_rank(shape) and self.costs.factored(shape, rank) < self.costs.dense(shape)

    def stays_dense(self, shapes: Mapping[str, Shape]) -> set[str]:
        """Return the names that fit one of the patterns.

        Raises:
            ConfigError: a pattern fits nothing.
        """
        names: set[str] = set()
        for pattern in self.dense:
            found = {name for name in shapes if fnmatchcase(name, pattern)}
            if not found:
                raise ConfigError(f"no projection is called {pattern!r}; names are like {next(iter(shapes), 'none')!r}")
            names |= found
        return names

    def require(self, smallest: float, shapes: Mapping[str, Shape]) -> None:
        """Check that the cheapest ranks allowed are within the budget.

        Args:
            smallest: what these ranks, and what stays dense, cost together.
            shapes: of all projections.

        Raises:
            KeepRatioError: they are not.
        """
        if smallest > self.total(shapes):
            share = smallest / _cost(shapes, {}, self.costs)
            raise KeepRatioError(
                f"keep_ratio {self.keep_ratio} of the {self.costs.currency} cannot be met: the smallest ranks allowed "
                f"({self.floor}, in multiples of {self.multiple}) and {len(self.stays_dense(shapes))} dense "
                f"projections already need {share:.4f}. Raise keep_ratio to that, or lower the floor, the multiple or "
                "the number of dense projections."
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


def plan_ranks(shapes: Mapping[str, Shape], budget: Budget) -> RankPlan:
    """Spend a budget on ranks, the same kept fraction of the parameters everywhere.

    Where neither floors nor dense projections ask for more than their share this is the paper's uniform rule;
    otherwise one smaller fraction is found for the rest, so that the whole stays within the same budget.

    Args:
        shapes: (m, n) by full module name.
        budget: for all of them; ranks are rounded to the nearest multiple.

    Raises:
        KeepRatioError: the budget is too small for the floors and dense projections.
        ConfigError: a pattern of the budget fits nothing.
    """
    kept = budget.stays_dense(shapes)
    if budget.keep_ratio == 1:
        return RankPlan(dict(shapes))

    def ranks_at(fraction: float) -> dict[str, int]:
        ranks = {
            name: _rounded(uniform_rank(shape, fraction), budget) for name, shape in shapes.items() if name not in kept
        }
        return {name: rank for name, rank in ranks.items() if budget.pays(shapes[name], rank)}

    def cost_at(fraction: float) -> float:
        return _cost(shapes, ranks_at(fraction), budget.costs)

    budget.require(cost_at(0.0), shapes)
    # A fraction of the parameters may cost a smaller fraction of another currency.
    highest = budget.keep_ratio if budget.costs is PARAMETERS else 1.0
    ranks = ranks_at(_largest(highest, lambda fraction: cost_at(fraction) <= budget.total(shapes)))
    if budget.multiple > 1:
        _spend_rest(shapes, ranks, budget)
    return RankPlan(dict(shapes), ranks, budget.keep_ratio)


def _spend_rest(shapes: Mapping[str, Shape], ranks: dict[str, int], budget: Budget) -> None:
    """Raise the ranks that rounding cut most by one multiple each, as far as the budget goes.

    Projections of equal shape round alike, so one common fraction would waste up to a multiple on all of them.
    """
    costs, left = budget.costs, budget.total(shapes) - _cost(shapes, ranks, budget.costs)
    for name in sorted(ranks, key=lambda name: ranks[name] / max(uniform_rank(shapes[name], budget.keep_ratio), 1)):
        shape, higher = shapes[name], ranks[name] + budget.multiple
        price = costs.factored(shape, higher) - costs.factored(shape, ranks[name])
        if price <= left and budget.pays(shape, higher):
            ranks[name] = higher
            left -= price


def _rounded(rank: int, budget: Budget) -> int:
    nearest = (rank + budget.multiple // 2) // budget.multiple * budget.multiple
    lowest = -(-budget.floor // budget.multiple) * budget.multiple
    return max(nearest, lowest)


def _cost(shapes: Mapping[str, Shape], ranks: Mapping[str, int], costs: Costs) -> float:
    return sum(
        costs.factored(shape, ranks[name]) if name in ranks else costs.dense(shape) for name, shape in shapes.items()
    )


def _largest(highest: float, affordable: Callable[[float], bool]) -> float:
    """Return the largest affordable fraction up to `highest`; 0 is affordable."""
    if affordable(highest):
        return highest
    low = 0.0
    for _ in range(50):  # halving 50 times resolves a fraction finer than one parameter of any model
        middle = (low + highest) / 2
        low, highest = (middle, highest) if affordable(middle) else (low, middle)
    return low
