"""HR@k and NDCG@k with one right answer a user, and intervals over users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOT_FOUND = -1
"""The rank of a target that was not returned."""

CUTOFFS = (1, 5, 10)


def distinct_codes(rows: NDArray[np.integer], item_codes: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the codes of a list of items `[items]`, each once, in order, `[answers, levels]`.

    Items that share a code are one answer, as LC-Rec counts.
    """
    codes = item_codes[rows]
    _, first = np.unique(codes, axis=0, return_index=True)
    return codes[np.sort(first)]


def rank_of(target: NDArray[np.integer], codes: NDArray[np.integer]) -> int:
    """Return the 0-based place of a target's code `[levels]` among `codes` `[answers, levels]`, or `NOT_FOUND`."""
    found = np.flatnonzero((codes == target).all(axis=1))
    return int(found[0]) if len(found) else NOT_FOUND


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


def user_values(ranks: NDArray[np.integer], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, NDArray[np.float64]]:
    """Return what every user adds to `hit_rate@k` and `ndcg@k`, `[users]` each, for every cutoff.

    Args:
        ranks: `[users]`, or `[templates, users]` of the same users asked in several ways: a user then counts as the
            average of all.
        cutoffs: k.
    """
    rows = np.atleast_2d(ranks)
    values = {f"hit_rate@{k}": hit_rate(rows, k).mean(axis=0) for k in cutoffs}
    return values | {f"ndcg@{k}": ndcg(rows, k).mean(axis=0) for k in cutoffs}


def summarize(ranks: NDArray[np.integer], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """Return `hit_rate@k` and `ndcg@k`, averaged over users (and templates, if any), for every cutoff."""
    return {name: float(values.mean()) for name, values in user_values(ranks, cutoffs).items()}


def summary_intervals(ranks: NDArray[np.integer], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval over users of everything in `summarize`, named `…_interval`.

    Templates are not drawn again: the interval says what other users would do, asked in these very words.
    """
    return {f"{name}_interval": bootstrap_interval(values) for name, values in user_values(ranks, cutoffs).items()}


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
    (means,) = _resampled_means(values[None], samples, random).T
    return _percentiles(means, level)


def ratio_interval(
    values: NDArray[np.float64],
    reference: NDArray[np.float64],
    *,
    level: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the paired percentile bootstrap interval of `values.mean() / reference.mean()`.

    Both means are taken over the same resampled users, so that what makes a user hard for both cancels. Where there
    are several runs, the runs are drawn again as well.

    Args:
        values: `[users]`, or `[runs, users]` of a recipe that was run with several seeds.
        reference: `[users]` of the same users, or `[runs, users]` paired run by run.
        level: of confidence.
        samples: resamples drawn; those whose reference is 0 throughout have no ratio and are left out.
        seed: of the resampling.

    Raises:
        ValueError: the reference is 0 for every user.
    """
    if not reference.any():
        raise ValueError("the reference is 0 for every user; there is no ratio to it")
    values = np.atleast_2d(values)
    runs, random = len(values), np.random.default_rng(seed)
    both = np.concatenate([values, np.broadcast_to(reference, values.shape)])
    top, bottom = np.split(_resampled_means(both, samples, random), 2, axis=1)  # [samples, runs] each
    drawn = random.multinomial(runs, np.full(runs, 1 / runs), size=samples)
    top, bottom = (drawn * top).sum(axis=1), (drawn * bottom).sum(axis=1)
    return _percentiles(top[bottom != 0] / bottom[bottom != 0], level)


def _resampled_means(values: NDArray[np.float64], samples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return `[samples, rows]` means over resampled users of `[rows, users]`.

    Users with the same values are drawn together: HR and NDCG take a dozen values, and one count a user would be
    400 MB for 50,000 users.
    """
    groups, sizes = np.unique(values, axis=1, return_counts=True)
    users = values.shape[1]
    counts = random.multinomial(users, sizes / users, size=samples)
    means: NDArray[np.float64] = counts @ groups.T / users
    return means


def _percentiles(statistics: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(statistics, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
