"""Percentiles and intervals of raw samples, with their definitions.

A percentile is the linear interpolation between the two nearest order statistics (type 7 of Hyndman and Fan,
numpy's default): of n sorted samples x₀ … xₙ₋₁ the p-th is x at position (n − 1)·p/100.

An interval is a percentile bootstrap: the middle 95 % of the medians of 1,000 resamples, drawn with a fixed
seed. It says how far the median would move on another draw of the *same* conditions. Neighbouring calls are
not independent, and no bootstrap knows about another machine or another day.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mobile_bench.errors import BenchError
from mobile_bench.record import Distribution

RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 20_240_607
_CHUNK = 1 << 20


def percentile(samples: Sequence[float] | NDArray[np.float64], percent: float) -> float:
    """Return a percentile of the samples, in their unit.

    Raises:
        BenchError: there are no samples, or `percent` is outside 0 … 100.
    """
    if not len(samples):
        raise BenchError("a percentile of no samples was asked for; at least one call must be measured")
    if not 0 <= percent <= 100:
        raise BenchError(f"percentile {percent} is outside 0 … 100")
    return float(np.percentile(np.asarray(samples, np.float64), percent))


def median_interval(
    samples: Sequence[float] | NDArray[np.float64], *, seed: int = SEED, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median, in the samples' unit.

    Raises:
        BenchError: there are no samples.
    """
    if not len(samples):
        raise BenchError("an interval of no samples was asked for; at least one call must be measured")
    values = np.asarray(samples, np.float64)
    random = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(values))  # so many resamples at a time that a long run fits in memory
    medians = []
    for start in range(0, resamples, rows):
        drawn = random.integers(len(values), size=(min(rows, resamples - start), len(values)))
        medians.append(np.median(values[drawn], axis=1))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.concatenate(medians), [tail, 100 - tail])
    return float(low), float(high)


def distribution(samples: Sequence[float] | NDArray[np.float64]) -> Distribution:
    """Return percentiles, mean and the interval of the median of raw samples.

    Raises:
        BenchError: there are no samples.
    """
    low, high = median_interval(samples)
    return Distribution(
        count=len(samples),
        p50=percentile(samples, 50),
        p90=percentile(samples, 90),
        p99=percentile(samples, 99),
        mean=float(np.mean(samples)),
        p50_low=low,
        p50_high=high,
    )


def relative_to_history(samples: Sequence[float] | NDArray[np.float64], histories: int) -> NDArray[np.float64]:
    """Return samples `[calls]`, each ÷ the median of its history: histories differ in length, and that is no noise.

    Args:
        samples: in the order in which they were taken.
        histories: asked in turn; sample i is about history i mod `histories`.
    """
    values = np.asarray(samples, np.float64)
    which = np.arange(len(values)) % histories
    medians = np.array([np.median(values[which == history]) for history in range(min(histories, len(values)))])
    return np.asarray(values / medians[which])
