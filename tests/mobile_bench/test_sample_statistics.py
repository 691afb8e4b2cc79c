import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_bench.errors import BenchError
from mobile_bench.statistics import distribution, median_interval, percentile

samples = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60)


@given(samples, st.floats(0, 100))
def test_percentile_is_the_interpolated_order_statistic(values: list[float], percent: float) -> None:
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    expected = ordered[below] + (position - below) * (ordered[above] - ordered[below])
    assert percentile(values, percent) == pytest.approx(expected, rel=1e-9)


@given(samples)
def test_interval_lies_within_the_samples_and_around_its_own_median(values: list[float]) -> None:
    low, high = median_interval(values, resamples=50)
    assert min(values) <= low <= high <= max(values)


@given(samples)
def test_summary_agrees_with_numpy(values: list[float]) -> None:
    summary = distribution(values)
    assert summary.count == len(values)
    assert [summary.p50, summary.p90, summary.p99] == pytest.approx(np.percentile(values, [50, 90, 99]).tolist())
    assert summary.mean == pytest.approx(np.mean(values))


def test_interval_repeats_with_its_seed_and_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).lognormal(size=500)
    whole = median_interval(values)
    monkeypatch.setattr("mobile_bench.statistics._CHUNK", 500 * 7)
    assert median_interval(values) == whole


def test_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    hits = 0
    for seed in range(200):
        low, high = median_interval(random.exponential(size=41), seed=seed, resamples=200)
        hits += low <= np.log(2) <= high
    assert 0.88 <= hits / 200 <= 0.995


def test_no_samples_are_refused() -> None:
    for function in (lambda: percentile([], 50), lambda: median_interval([]), lambda: distribution([])):
        with pytest.raises(BenchError, match="at least one call"):
            function()


def test_percent_outside_its_range_is_refused() -> None:
    with pytest.raises(BenchError, match="outside 0"):
        percentile([1.0], 101)
