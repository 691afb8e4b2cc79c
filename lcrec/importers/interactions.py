"""Interactions as columns, and the steps from there to users' sequences.

The readers fill the columns block by block: ids are numbered as they come, and an interaction takes 16 bytes. Each
step then drops or orders rows and counts them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import MIN_INTERACTIONS
from lcrec.errors import DatasetError
from lcrec.histories import Histories
from lcrec.importers.repairs import Repairs
from lcrec.items import Int32

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


class Vocabulary(dict[str, int]):
    """Numbers ids in the order in which they first occur: `vocabulary[id]` is the id's number."""

    def __missing__(self, one: str) -> int:
        """Give the next number to an id that is new."""
        number = self[one] = len(self)
        return number


@dataclass
class Columns:
    """Interactions in file order, while a file is read."""

    users: Vocabulary = field(default_factory=Vocabulary)
    items: Vocabulary = field(default_factory=Vocabulary)
    _user: array[int] = field(default_factory=lambda: array("i"), repr=False)
    _item: array[int] = field(default_factory=lambda: array("i"), repr=False)
    _time: array[float] = field(default_factory=lambda: array("d"), repr=False)

    def __len__(self) -> int:
        return len(self._user)

    def add(self, users: Iterable[str], items: Iterable[str], times: NDArray[np.float64]) -> None:
        """Append interactions: user ids, item ids and float64 times, one each."""
        self._user.extend(map(self.users.__getitem__, users))
        self._item.extend(map(self.items.__getitem__, items))
        self._time.frombytes(times.tobytes())

    def arrays(self) -> tuple[Int32, Int32, NDArray[np.float64]]:
        """Return user numbers, item numbers and times, not copied: nothing may be added while they are in use."""
        return np.frombuffer(self._user, np.int32), np.frombuffer(self._item, np.int32), np.frombuffer(self._time)


@dataclass(frozen=True)
class Limits:
    """Which interactions stay.

    Attributes:
        min_rating: interactions rated below are dropped; None keeps all.
        min_interactions: every user and every item keeps at least as many (the k of the k-core); 1 keeps all.
        first_only: of a user's interactions with one item only the first in time stays.
    """

    min_rating: float | None = None
    min_interactions: int = 1
    first_only: bool = False


@dataclass(frozen=True)
class Remaining:
    """What is left of the columns.

    Attributes:
        users: ids of the users that stay, in the order of their first row.
        items: ids of the items that stay, in the order of their first row.
        sequences: int32 numbers into `items`, one array a user, in time order.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    sequences: Histories


def to_sequences(columns: Columns, limits: Limits, repairs: Repairs, known_items: Bool | None = None) -> Remaining:
    """Drop what repeats, is unknown or too rare, put the rest in time order, and count it all.

    The order is LC-Rec's: repeats first, then items nobody knows anything of, then what is too rare.

    Args:
        columns: interactions in file order.
        limits: what is dropped.
        repairs: where the counts go.
        known_items: bool `[items]`, false for items whose interactions are dropped; None keeps all.

    Raises:
        DatasetError: there is nothing, or nothing is left.
    """
    user, item, time = columns.arrays()
    if not len(user):
        raise DatasetError("there are no interactions: the file is empty, or all are below --min-rating")
    kept = _without_repeats(user, item, time, limits.first_only, repairs)
    if known_items is not None:
        known = known_items[item[kept]]
        repairs.add("interactions_with_unknown_items", int((~known).sum()))
        kept = kept[known]
    k = limits.min_interactions
    # Users who are too short to split go with the rest of the core: without them items may fall below its k.
    core = kept[in_core(user[kept], item[kept], k, user_k=max(k, MIN_INTERACTIONS) if k > 1 else k)]
    repairs.add("interactions_outside_core", len(kept) - len(core))
    counts = np.bincount(user[core], minlength=len(columns.users))
    repairs.add("users_too_short", int(((counts > 0) & (counts < MIN_INTERACTIONS)).sum()))
    long = core[counts[user[core]] >= MIN_INTERACTIONS]
    if not len(long):
        raise DatasetError(
            f"none of {len(user)} interactions is left: every user needs {MIN_INTERACTIONS}, and users and "
            f"items need {limits.min_interactions} each. Lower --min-interactions or --min-rating."
        )
    ordered = long[np.lexsort((time[long], user[long]))]  # stable: equal times stay in file order
    _count_order(ordered, user[ordered], time[ordered], repairs)
    return _number_again(columns, user[ordered], item[ordered])


def in_core(user: NDArray[np.integer], item: NDArray[np.integer], k: int, user_k: int | None = None) -> Bool:
    """Mark the interactions of the k-core.

    Dropping rare users makes items rare and the other way round, so it goes on until nothing changes.

    Args:
        user: `[interactions]` user numbers.
        item: `[interactions]` item numbers.
        k: the fewest interactions a user or item may keep.
        user_k: the fewest a user may keep, if more than an item.
    """
    alive = np.ones(len(user), dtype=bool)
    while True:
        users = np.bincount(user[alive], minlength=user.max(initial=0) + 1)
        items = np.bincount(item[alive], minlength=item.max(initial=0) + 1)
        still = alive & (users[user] >= (user_k or k)) & (items[item] >= k)
        if still.sum() == alive.sum():
            return alive
        alive = still


def _without_repeats(user: Int32, item: Int32, time: NDArray[np.float64], first_only: bool, repairs: Repairs) -> Int64:
    """Return the positions of what does not repeat, ascending.

    A row that repeats a user, item and time counts once. With `first_only` a user's item does, at its first time.
    """
    order = np.lexsort((time, item, user))
    again = np.zeros(len(order), dtype=bool)
    again[1:] = (np.diff(user[order]) == 0) & (np.diff(item[order]) == 0)
    same = again.copy()
    same[1:] &= np.diff(time[order]) == 0
    repairs.add("duplicate_rows", int(same.sum()))
    if first_only:
        repairs.add("repeated_items", int((again & ~same).sum()))
    return np.sort(order[~(again if first_only else same)])


def _count_order(rows: Int64, user: Int32, time: NDArray[np.float64], repairs: Repairs) -> None:
    """Count the users that were not in time order, and the interactions that share their time.

    Args:
        rows: the rows in the file, sorted by user and time.
        user: of each, sorted.
        time: of each, sorted within its user.
        repairs: where the counts go.
    """
    same_user = np.diff(user) == 0
    moved = same_user & (np.diff(rows) < 0)
    repairs.add("users_put_in_time_order", len(np.unique(user[1:][moved])))
    repairs.add("equal_times", int((same_user & (np.diff(time) == 0)).sum()))


def _number_again(columns: Columns, user: Int32, item: Int32) -> Remaining:
    """Cut rows sorted by user into sequences, and number the items that are left from 0 on."""
    left = np.bincount(item, minlength=len(columns.items)) > 0
    row = (np.cumsum(left, dtype=np.int32) - 1)[item]
    counts = np.bincount(user, minlength=len(columns.users))
    return Remaining(
        users=tuple(one for one, count in zip(columns.users, counts.tolist(), strict=True) if count),
        items=tuple(one for one, stays in zip(columns.items, left.tolist(), strict=True) if stays),
        sequences=Histories.of_lengths(row, counts[counts > 0]),
    )
