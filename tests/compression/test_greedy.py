import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.allocation import Budget, break_even_rank, plan_ranks, uniform_rank
from compression.costs import PARAMETERS, MatrixCosts
from compression.errors import ConfigError, KeepRatioError
from compression.greedy import LEAST_SHARE, allocate, check_budget


def tails(energies):
    """What is lost at rank 0, 1, 2 …, for component energies."""
    falling = np.sort(np.asarray(energies, float))[::-1]
    return tuple(falling[r:].sum() for r in range(len(falling) + 1))


def loss_of(plan, losses):
    return sum(losses[name][rank] for name, rank in plan.ranks.items())


def brute_force(shapes, losses, ratio, budget):
    """The least loss of all ranks within a budget, above the floors that belong to a ratio."""
    choices = []
    for name, (rows, columns) in shapes.items():
        least = max(int(LEAST_SHARE * uniform_rank((rows, columns), ratio)), 1)
        ranks = range(least, break_even_rank((rows, columns)) + 1)
        choices.append([(r * (rows + columns), losses[name][r]) for r in ranks])
    found = [sum(loss for _, loss in one) for one in itertools.product(*choices) if sum(c for c, _ in one) <= budget]
    return min(found, default=np.inf)


ENERGIES = st.lists(st.lists(st.floats(0.001, 10), min_size=12, max_size=12), min_size=3, max_size=3)


@settings(max_examples=60, deadline=None)
@given(energies=ENERGIES, ratio=st.floats(0.15, 0.9))
def test_no_other_ranks_lose_less(energies, ratio):
    """Steps of one price: greedy choice is optimal; the cheaper step to dense can leave a step's price unspent."""
    shapes = {f"p{i}": (12, 40) for i in range(3)}
    losses = {name: tails(one) for name, one in zip(shapes, energies, strict=True)}
    plan = allocate(shapes, losses, Budget(ratio))
    assert plan.achieved_keep_ratio <= ratio
    budget, step = ratio * 3 * 480, 12 + 40
    if len(plan.ranks) == 3:
        assert loss_of(plan, losses) == pytest.approx(brute_force(shapes, losses, ratio, budget), abs=1e-9)
    else:
        assert loss_of(plan, losses) <= brute_force(shapes, losses, ratio, budget - step) + 1e-9


@settings(max_examples=60, deadline=None)
@given(energies=ENERGIES, ratio=st.floats(0.3, 0.9))
def test_with_steps_of_other_prices_it_is_within_one_step(energies, ratio):
    shapes = {"a": (12, 40), "b": (12, 20), "c": (30, 12)}
    losses = {name: tails(one) for name, one in zip(shapes, energies, strict=True)}
    plan = allocate(shapes, losses, Budget(ratio))
    assert plan.achieved_keep_ratio <= ratio
    budget = ratio * sum(rows * columns for rows, columns in shapes.values()) - max(map(sum, shapes.values()))
    assert loss_of(plan, losses) <= brute_force(shapes, losses, ratio, budget) + 1e-9


def test_the_projection_that_loses_more_gets_more():
    shapes = {"flat": (64, 64), "steep": (64, 64)}
    losses = {"flat": tails(np.ones(64)), "steep": tails(0.8 ** np.arange(64))}
    plan = allocate(shapes, losses, Budget(0.5))
    assert plan.ranks["flat"] > uniform_rank((64, 64), 0.5) > plan.ranks["steep"]
    assert 0.49 < plan.achieved_keep_ratio <= 0.5


def test_a_projection_that_matters_most_stays_dense_and_the_others_pay():
    shapes = {f"p{i}": (64, 64) for i in range(4)}
    losses = {name: tails(0.99 ** np.arange(64)) for name in shapes}
    losses["p0"] = tuple(1000 * loss for loss in losses["p0"])
    plan = allocate(shapes, losses, Budget(0.5))
    assert "p0" not in plan.ranks
    assert max(plan.ranks.values()) < uniform_rank((64, 64), 0.5)
    assert 0.48 < plan.achieved_keep_ratio <= 0.5


@pytest.mark.parametrize("multiple", [8, 16, 32])
def test_ranks_are_multiples(multiple):
    random = np.random.default_rng(0)
    shapes = {f"p{i}": shape for i, shape in enumerate([(192, 576), (576, 576), (1536, 576)] * 2)}
    losses = {name: tails(random.random(min(shape)) ** 4) for name, shape in shapes.items()}
    plan = allocate(shapes, losses, Budget(0.5, multiple=multiple))
    assert all(rank % multiple == 0 for rank in plan.ranks.values())
    assert 0.46 < plan.achieved_keep_ratio <= 0.5


def test_no_rank_falls_below_its_floor():
    shapes = {"key": (32, 128), "up": (352, 128)}
    losses = {"key": (0.0,) * 33, "up": tails(np.ones(128))}
    least = int(LEAST_SHARE * uniform_rank((32, 128), 0.5))
    assert allocate(shapes, losses, Budget(0.5)).ranks["key"] >= least
    assert allocate(shapes, losses, Budget(0.5, floor=10)).ranks["key"] >= 10


def test_named_projections_stay_dense():
    shapes = {"a": (64, 64), "b": (64, 64), "c": (64, 64)}
    losses = {name: tails(np.ones(64)) for name in shapes}
    plan = allocate(shapes, losses, Budget(0.6, dense=("a",)))
    assert list(plan.ranks) == ["b", "c"]


def test_another_currency_is_kept_to():
    """Where every matrix costs a fixed sum on top, two factors cost more of it than one matrix."""
    costs = MatrixCosts("bytes", lambda inputs, outputs: inputs * outputs + 500)
    shapes = {"a": (64, 64), "b": (32, 96)}
    losses = {name: tails(0.9 ** np.arange(min(shape))) for name, shape in shapes.items()}
    for plan in (allocate(shapes, losses, Budget(0.6, costs=costs)), plan_ranks(shapes, Budget(0.6, costs=costs))):
        spent = plan.cost(costs) / sum(map(costs.dense, shapes.values()))
        assert 0.55 < spent <= 0.6


@pytest.mark.parametrize("plan", [plan_ranks, check_budget])
def test_an_unreachable_budget_names_the_smallest_reachable(plan):
    costs = MatrixCosts("latency", lambda inputs, outputs: inputs * outputs + 500)
    with pytest.raises(KeepRatioError, match=r"0\.1 of the latency cannot be met.*already need 0\.[23]\d+\. Raise"):
        plan({"a": (64, 64)}, Budget(0.1, costs=costs))


def test_bad_steps_are_refused():
    with pytest.raises(ConfigError, match="multiple is 0"):
        Budget(0.5, multiple=0)
    with pytest.raises(KeepRatioError, match="expected above 0"):
        Budget(1.5)


def test_ratio_one_keeps_everything_dense():
    assert not allocate({"a": (8, 8)}, {"a": tails(np.ones(8))}, Budget(1.0, costs=PARAMETERS)).ranks
