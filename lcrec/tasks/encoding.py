"""A sample of a task in token ids: what is read, and which tokens are the response that carries the loss."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class EncodedSample:
    """One sequence to learn from.

    Attributes:
        ids: int64 `[tokens]`, prompt and response.
        learned: bool `[tokens]`, true where a token belongs to a response: these carry loss.
        task: the task's name.
    """

    ids: NDArray[np.int64] = field(repr=False)
    learned: NDArray[np.bool_] = field(repr=False)
    task: str
