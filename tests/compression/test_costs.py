import pytest

from compression.costs import PARAMETERS, MeasuredCosts, MeasuredShape
from compression.errors import ConfigError

MEASURED = MeasuredCosts("latency", {(64, 32): MeasuredShape((64, 32), 100.0, (8, 16), (40.0, 60.0))})


def test_parameters_are_the_entries_of_the_matrices():
    assert PARAMETERS.dense((64, 32)) == 64 * 32
    assert PARAMETERS.factored((64, 32), 5) == 5 * (64 + 32)


@pytest.mark.parametrize(("rank", "cost"), [(1, 40.0), (8, 40.0), (12, 50.0), (16, 60.0), (20, 70.0)])
def test_measured_costs_lie_on_straight_lines(rank, cost):
    assert MEASURED.factored((64, 32), rank) == pytest.approx(cost)
    assert MEASURED.dense((64, 32)) == 100


def test_a_shape_that_was_not_measured_is_named():
    with pytest.raises(ConfigError, match=r"no projection of 8 × 8, only \[\(64, 32\)\]\. Measure them"):
        MEASURED.dense((8, 8))


@pytest.mark.parametrize(
    ("ranks", "costs"),
    [((), ()), ((8, 8), (1.0, 2.0)), ((8, 16), (2.0, 1.0)), ((8,), (1.0, 2.0)), ((0,), (1.0,)), ((8,), (0.0,))],
)
def test_costs_that_make_no_sense_are_refused(ranks, costs):
    with pytest.raises(ConfigError, match="Measure them again"):
        MeasuredShape((64, 32), 100.0, ranks, costs)
