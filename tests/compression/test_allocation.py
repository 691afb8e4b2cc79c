import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.allocation import Budget, break_even_rank, plan_ranks, uniform_rank
from compression.errors import ConfigError, KeepRatioError

SMOL = {
    f"model.layers.{block}.{name}": shape
    for block in range(3)
    for name, shape in {
        "self_attn.q_proj": (576, 576),
        "self_attn.k_proj": (192, 576),
        "self_attn.v_proj": (192, 576),
        "self_attn.o_proj": (576, 576),
        "mlp.gate_proj": (1536, 576),
        "mlp.up_proj": (1536, 576),
        "mlp.down_proj": (576, 1536),
    }.items()
}


def test_the_default_plan_is_the_papers_uniform_rule():
    plan = plan_ranks(SMOL, Budget(0.5))
    assert plan.ranks == {name: uniform_rank(shape, 0.5) for name, shape in SMOL.items()}
    assert plan.ranks["model.layers.0.self_attn.q_proj"] == 144
    assert plan.ranks["model.layers.0.self_attn.k_proj"] == 72
    assert 0.495 < plan.achieved_keep_ratio <= 0.5


@pytest.mark.parametrize("shape", [(576, 576), (192, 576), (3, 7), (1, 9), (2, 2)])
def test_break_even_is_the_last_rank_that_saves(shape):
    rows, columns = shape
    rank = break_even_rank(shape)
    assert rank * (rows + columns) < rows * columns <= (rank + 1) * (rows + columns)


def test_a_matrix_whose_factors_would_be_larger_stays_dense():
    shapes = {"small": (4, 4), "large": (64, 64)}
    plan = plan_ranks(shapes, Budget(0.5, floor=4))
    assert "small" not in plan.ranks
    assert plan.achieved_keep_ratio <= 0.5


def test_floor_is_paid_for_by_the_others():
    plan = plan_ranks(SMOL, Budget(0.3, floor=60))
    assert plan.ranks["model.layers.0.self_attn.k_proj"] == 60 > uniform_rank((192, 576), 0.3)
    assert plan.ranks["model.layers.0.mlp.up_proj"] < uniform_rank((1536, 576), 0.3)
    assert 0.29 < plan.achieved_keep_ratio <= 0.3


def test_dense_projections_are_paid_for_by_the_others():
    plan = plan_ranks(SMOL, Budget(0.6, dense=("model.layers.0.mlp.*",)))
    assert not any(name.startswith("model.layers.0.mlp") for name in plan.ranks)
    assert plan.ranks["model.layers.1.mlp.up_proj"] < uniform_rank((1536, 576), 0.6)
    assert 0.59 < plan.achieved_keep_ratio <= 0.6


def test_ratio_one_keeps_everything_dense():
    plan = plan_ranks(SMOL, Budget(1.0))
    assert not plan.ranks
    assert plan.achieved_keep_ratio == 1


def test_multiples_spend_the_budget_and_differ_by_one_step_at_most():
    shapes = {f"p{i}": (352, 128) for i in range(12)}  # the uniform rank is 46: all at 40 or 48 would miss 0.5 by far
    plan = plan_ranks(shapes, Budget(0.5, multiple=8))
    assert set(plan.ranks.values()) == {40, 48}
    assert plan.achieved_keep_ratio > 0.49


@settings(max_examples=60, deadline=None)
@given(
    keep_ratio=st.floats(0.2, 1.0),
    multiple=st.sampled_from([1, 8, 16, 32]),
    sizes=st.lists(st.tuples(st.integers(64, 600), st.integers(64, 600)), min_size=1, max_size=6),
)
def test_no_plan_exceeds_its_budget_or_breaks_even(keep_ratio, multiple, sizes):
    shapes = {f"p{i}": size for i, size in enumerate(sizes)}
    try:
        plan = plan_ranks(shapes, Budget(keep_ratio, multiple=multiple))
    except KeepRatioError:
        smallest = sum(min(multiple * (rows + columns), rows * columns) for rows, columns in sizes)
        assert smallest > keep_ratio * sum(rows * columns for rows, columns in sizes)
        return
    assert plan.achieved_keep_ratio <= keep_ratio
    for name, rank in plan.ranks.items():
        assert rank % multiple == 0
        assert 1 <= rank <= break_even_rank(shapes[name])


@pytest.mark.parametrize("keep_ratio", [0, -0.5, 1.01, float("nan"), float("inf")])
def test_a_keep_ratio_outside_its_range_is_refused(keep_ratio):
    with pytest.raises(KeepRatioError, match=r"expected above 0 and at most 1 .*0\.5 halves"):
        plan_ranks(SMOL, Budget(keep_ratio))


def test_a_keep_ratio_that_cannot_be_met_names_the_smallest_that_can():
    with pytest.raises(
        KeepRatioError, match=r"keep_ratio 0\.001 of the parameters cannot be met.*already need 0\.00\d\d\. Raise"
    ):
        plan_ranks(SMOL, Budget(0.001))
    with pytest.raises(KeepRatioError, match=r"and 9 dense projections already need 0\.7"):
        plan_ranks(SMOL, Budget(0.5, dense=("*.mlp.*",)))


def test_a_pattern_that_fits_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"no projection is called 'mlp\.0'; names are like 'model\.layers\.0"):
        plan_ranks(SMOL, Budget(0.5, dense=("mlp.0",)))


def test_a_multiple_below_one_is_refused():
    with pytest.raises(ConfigError, match="multiple is 0 and floor is 1; expected at least 1"):
        plan_ranks(SMOL, Budget(0.5, multiple=0))
