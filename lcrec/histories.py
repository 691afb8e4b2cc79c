"""Users' histories as one flat array: a million of them take no million objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from lcrec.items import Int32


class Histories(Sequence[Int32]):
    """Item rows of each user, one after the other in one array; indexing gives views into it.

    Attributes:
        rows: int32, all users' item rows.
        start: int64 `[users]`, where each user's history begins in `rows`.
        end: int64 `[users]`, where it ends.
    """

    def __init__(self, rows: Int32, start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
        self.rows, self.start, self.end = rows, start, end

    @classmethod
    def of_lengths(cls, rows: Int32, lengths: NDArray[np.int64]) -> Histories:
        """Cut `rows` into histories of these lengths, which must add up to its own."""
        end = np.cumsum(lengths, dtype=np.int64)
        return cls(rows, end - lengths, end)

    @classmethod
    def of(cls, histories: Iterable[Int32]) -> Histories:
        """Put separate arrays behind one another; histories stay what they are."""
        if isinstance(histories, Histories):
            return histories
        listed = list(histories)
        rows = np.concatenate([np.empty(0, np.int32), *listed], dtype=np.int32, casting="same_kind")
        return cls.of_lengths(rows, np.array([len(one) for one in listed], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.start)

    @overload
    def __getitem__(self, index: int) -> Int32: ...

    @overload
    def __getitem__(self, index: slice) -> Histories: ...

    def __getitem__(self, index: int | slice) -> Int32 | Histories:
        if isinstance(index, slice):
            return Histories(self.rows, self.start[index], self.end[index])
        return self.rows[self.start[index] : self.end[index]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Interactions of each user, int64 `[users]`."""
        return self.end - self.start

    def without_last(self, count: int) -> Histories:
        """Return the histories without the last `count` interactions of each, which may leave none; no copy."""
        return Histories(self.rows, self.start, np.maximum(self.end - count, self.start))

    def last(self, back: int = 1) -> Int32:
        """Return each user's last item row, or the one `back` places from the end, int32 `[users]`.

        Every history must be that long.
        """
        return self.rows[self.end - back]

    def joined(self) -> Int32:
        """Return all histories behind one another, int32; no copy where they stand so already."""
        if np.array_equal(self.start[1:], self.end[:-1]):
            return self.rows[self.start[0] : self.end[-1]] if len(self) else self.rows[:0]
        lengths = self.lengths
        begin = np.cumsum(lengths) - lengths
        return self.rows[np.repeat(self.start - begin, lengths) + np.arange(lengths.sum())]

    def leave_one_out(self) -> LeaveOneOut:
        """Return the leave-one-out split; every history must have two items."""
        train = self.without_last(2)
        return LeaveOneOut(
            train=train,
            validation_history=train,
            validation_target=self.last(2),
            test_history=self.without_last(1),
            test_target=self.last(1),
        )


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """The split the field uses: the last item of every user is for testing, the one before for validation.

    Attributes:
        train: item rows of each user, all but the last two.
        validation_history: what precedes the validation item; the same as `train`.
        validation_target: int32 `[users]`.
        test_history: item rows of each user, all but the last.
        test_target: int32 `[users]`.
    """

    train: Histories
    validation_history: Histories
    validation_target: Int32
    test_history: Histories
    test_target: Int32
