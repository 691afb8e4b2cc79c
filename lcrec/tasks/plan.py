"""What every task of a mixture can do: plan an epoch by chance, and encode what was planned when it is asked for."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lcrec.tasks.encoding import EncodedSample


class TaskPlan(Protocol):
    """One task's samples of one epoch."""

    def __len__(self) -> int: ...

    def encode(self, place: int) -> EncodedSample:
        """Return a sample; the same one whenever it is asked for."""

    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of every sample, `[samples]`."""


class Task(Protocol):
    """One task over one dataset."""

    name: str

    def plan(self, weight: float, random: np.random.Generator) -> TaskPlan:
        """Draw an epoch: every sample once at a weight of 1, a share of them below, some again above."""


def turns(samples: int, weight: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Return which samples have their turn, int64: all in whole rounds, the rest of the weight drawn alike."""
    wanted = round(samples * weight)
    rounds = -(-wanted // samples) if samples else 0
    drawn = [random.permutation(samples) for _ in range(rounds)]
    return np.concatenate([np.zeros(0, np.int64), *drawn])[:wanted]
