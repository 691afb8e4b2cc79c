import pytest

from mobile_bench.report.axes import Axes, between, for_costs, from_zero


def test_a_scale_begins_at_zero_unless_zero_is_far() -> None:
    assert between(0.2, 1.0).low == 0
    near_one = between(0.93, 1.0)
    assert 0.9 <= near_one.low <= 0.93
    assert near_one.high == pytest.approx(1.0)
    assert "from" in near_one.note


@pytest.mark.parametrize("value", [1.0, 0.04, 5e-7])
def test_equal_values_have_a_scale_too(value: float) -> None:
    scale = between(value, value)
    assert scale.low == 0
    assert scale.high >= value * (1 - 1e-9)


def test_costs_of_different_magnitudes_are_on_a_logarithmic_scale() -> None:
    assert not for_costs([1.0, 15.0]).is_log
    wide = for_costs([0.5, 5.0, 50.0])
    assert wide.is_log
    assert wide.place(5.0) - wide.place(0.5) == pytest.approx(wide.place(50.0) - wide.place(5.0))
    assert all(0 <= wide.place(tick) <= 1 for tick in wide.ticks)
    assert len(wide.ticks) <= 10


def test_values_go_right_and_up() -> None:
    axes = Axes(10, 20, 110, 220, from_zero(4), from_zero(4))
    assert (axes.x(0), axes.x(4)) == (10, 110)
    assert (axes.y(0), axes.y(4)) == (220, 20)
