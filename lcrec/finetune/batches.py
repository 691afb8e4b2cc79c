"""An epoch as steps of token batches: samples of similar length share one, under a budget of tokens.

No two samples share a row: with little padding that gains nothing, and attention would need a mask that keeps them
apart, which costs the fast attention kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcrec.finetune.config import FineTuneConfig
from lcrec.tasks.encoding import EncodedSample
from lcrec.windows import TokenBatch

POOL_BATCHES = 64
"""Batches whose samples are sorted by length together: many enough for little padding, few enough to stay mixed."""


@dataclass(frozen=True)
class EpochPlan:
    """Which samples are computed together.

    Attributes:
        steps: batches of sample numbers, a list a step; every device takes some of a step's batches.
        tokens: of the samples, padding left out.
        computed_tokens: padding included.
        longest: tokens of the longest sample, which has a batch of its own where it is over the budget.
    """

    steps: list[list[NDArray[np.int64]]]
    tokens: int
    computed_tokens: int
    longest: int

    @property
    def padding(self) -> float:
        """Share of the computed tokens that is padding."""
        return 1 - self.tokens / max(self.computed_tokens, 1)


def plan_epoch(lengths: Sequence[int] | NDArray[np.integer], config: FineTuneConfig, seed: int) -> EpochPlan:
    """Cut an epoch into steps; the same whatever the number of devices.

    Args:
        lengths: tokens of every sample, in the order of the epoch.
        config: gives the budgets of a device and of a step.
        seed: of the order.
    """
    sizes = np.asarray(lengths, np.int64)
    batches = _batches(sizes, config.device_tokens)
    tokens, computed = int(sizes.sum()), sum(len(batch) * int(sizes[batch].max()) for batch in batches)
    if config.batch_tokens is None:
        each = len(batches) * config.batch_samples / max(len(sizes), 1)
    else:
        each = len(batches) * config.batch_tokens / max(tokens, 1)
    together = max(round(each), 1)
    order = [batches[i] for i in np.random.default_rng(seed).permutation(len(batches))]
    return EpochPlan(
        [order[i : i + together] for i in range(0, len(order), together)], tokens, computed, int(sizes.max(initial=0))
    )


def _batches(sizes: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Return sample numbers in batches of similar length, each within the budget or of one sample."""
    pool = max(POOL_BATCHES * budget // max(int(sizes.mean()), 1), 1) if len(sizes) else 1
    batches = []
    for start in range(0, len(sizes), pool):
        rows = start + np.argsort(-sizes[start : start + pool], kind="stable")
        while len(rows):
            fits = max(budget // int(sizes[rows[0]]), 1)  # the longest comes first
            batches.append(rows[:fits])
            rows = rows[fits:]
    return batches


def share_of(step: Sequence[Sequence[EncodedSample]], processes: int, process: int) -> list[Sequence[EncodedSample]]:
    """Return a process's batches of a step: as many as every other one's, the last of them perhaps empty."""
    each = -(-len(step) // processes)
    mine = list(step[process::processes])
    return mine + [()] * (each - len(mine))


def pad(samples: Sequence[EncodedSample]) -> TokenBatch:
    """Return samples as right-padded token ids; without any, one token that nothing is learned from."""
    if not samples:
        return TokenBatch(np.zeros((1, 2), np.int64), np.zeros((1, 2), bool), np.zeros((1, 2), bool))
    ids = np.zeros((len(samples), max(len(sample.ids) for sample in samples)), np.int64)
    real, predicted = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = sample.ids
        real[row, : len(sample.ids)] = True
        predicted[row, : len(sample.ids)] = sample.learned
    return TokenBatch(ids, real, predicted)
