"""HR@k and NDCG@k with one right answer a user, and intervals over users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOT_FOUND = -1
"""The rank of a target that was not returned."""

CUTOFFS = (1, 5, 10)


def hit_rate(ranks: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """Return 1 for every user whose target is among the first `k`, else 0.

    Args:
        ranks: `[users]` 0-based ranks of the targets, `NOT_FOUND` where absent.
        k: cutoff.
    """
    return ((ranks >= 0) & (ranks < k)).astype(np.float64)


def ndcg(ranks: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """Return 1 / log2(rank + 2) for every user whose target is among the first `k`, else 0.

    With a single right answer the ideal gain is 1, so this is the normalised discounted cumulative gain.
    """
    return hit_rate(ranks, k) / np.log2(np.maximum(ranks, 0) + 2.0)


def summarize(ranks: NDArray[np.integer], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """Return `hit_rate@k` and `ndcg@k`, averaged over users, for every cutoff."""
    rows = {f"hit_rate@{k}": float(hit_rate(ranks, k).mean()) for k in cutoffs}
    return rows | {f"ndcg@{k}": float(ndcg(ranks, k).mean()) for k in cutoffs}


def bootstrap_interval(
    values: NDArray[np.float64], *, level: float = 0.95, samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean over users.

    Args:
        values: `[users]` one value a user; differences of two models' values give a paired interval.
        level: of confidence.
        samples: resamples drawn.
        seed: of the resampling, so that a report can be made again.
    """
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(values), np.full(len(values), 1 / len(values)), size=samples)
    means = counts @ values / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
