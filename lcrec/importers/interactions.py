"""Interactions as columns, and the steps from there to users' sequences.

The readers of tables (MovieLens, CSV) fill the columns; each step drops or orders rows and counts them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import MIN_INTERACTIONS
from lcrec.errors import DatasetError
from lcrec.importers.repairs import Repairs
from lcrec.items import Int32


class Vocabulary:
    """Numbers ids in the order in which they first occur."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def __getitem__(self, one: str) -> int:
        return self.number.setdefault(one, len(self.number))

    @property
    def ids(self) -> list[str]:
        """The ids by number."""
        return list(self.number)


@dataclass
class Columns:
    """Interactions in file order, while a file is read."""

    users: Vocabulary = field(default_factory=Vocabulary)
    items: Vocabulary = field(default_factory=Vocabulary)
    user: list[int] = field(default_factory=list)
    item: list[int] = field(default_factory=list)
    time: list[float] = field(default_factory=list)

    def add(self, user_id: str, item_id: str, time: float) -> None:
        """Append one interaction."""
        self.user.append(self.users[user_id])
        self.item.append(self.items[item_id])
        self.time.append(time)


@dataclass(frozen=True)
class Sequences:
    """What is left of the columns.

    Attributes:
        users: ids of the users that stay, in the order of their first row.
        items: ids of the items that stay, in the order of their first row.
        sequences: int32 numbers into `items`, one array a user, in time order.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    sequences: tuple[Int32, ...]


def to_sequences(columns: Columns, min_interactions: int, repairs: Repairs) -> Sequences:
    """Drop what repeats or is too rare, put the rest in time order, and count it all.

    Args:
        columns: interactions in file order.
        min_interactions: every user and every item keeps at least as many (the k of the k-core); 1 keeps all.
        repairs: where the counts go.

    Raises:
        DatasetError: nothing is left.
    """
    user = np.array(columns.user, dtype=np.int64)
    item = np.array(columns.item, dtype=np.int64)
    time = np.array(columns.time, dtype=np.float64)
    kept = _without_duplicates(user, item, time)
    repairs.add("duplicate_rows", len(user) - len(kept))
    core = kept[in_core(user[kept], item[kept], min_interactions)]
    repairs.add("interactions_outside_core", len(kept) - len(core))
    long = core[np.bincount(user[core])[user[core]] >= MIN_INTERACTIONS] if len(core) else core
    repairs.add("users_too_short", len(np.unique(user[core])) - len(np.unique(user[long])))
    if not len(long):
        raise DatasetError(
            f"none of {len(user)} interactions is left: every user needs {MIN_INTERACTIONS}, and users and "
            f"items need {min_interactions} each. Lower --min-interactions or --min-rating."
        )
    _count_order(user[long], time[long], repairs)
    ordered = long[np.lexsort((time[long], user[long]))]  # stable: equal times stay in file order
    return _number_again(columns, user[ordered], item[ordered])


def in_core(user: NDArray[np.int64], item: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """Mark the interactions of the k-core.

    Dropping rare users makes items rare and the other way round, so it goes on until nothing changes.

    Args:
        user: int64 `[interactions]` user numbers.
        item: int64 `[interactions]` item numbers.
        k: the fewest interactions a user or item may keep.
    """
    alive = np.ones(len(user), dtype=bool)
    while True:
        users = np.bincount(user[alive], minlength=user.max(initial=0) + 1)
        items = np.bincount(item[alive], minlength=item.max(initial=0) + 1)
        still = alive & (users[user] >= k) & (items[item] >= k)
        if still.sum() == alive.sum():
            return alive
        alive = still


def _without_duplicates(
    user: NDArray[np.int64], item: NDArray[np.int64], time: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the positions of the first row of every (user, item, time), ascending."""
    order = np.lexsort((time, item, user))
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (np.diff(user[order]) == 0) & (np.diff(item[order]) == 0) & (time[order][1:] == time[order][:-1])
    return np.sort(order[~same])


def _count_order(user: NDArray[np.int64], time: NDArray[np.float64], repairs: Repairs) -> None:
    """Count the users that were not in time order, and the interactions that share their time."""
    by_user = np.argsort(user, kind="stable")
    same_user = np.diff(user[by_user]) == 0
    backwards = same_user & (np.diff(time[by_user]) < 0)
    repairs.add("users_put_in_time_order", len(np.unique(user[by_user][1:][backwards])))
    by_time = np.lexsort((time, user))
    repairs.add("equal_times", int(((np.diff(user[by_time]) == 0) & (np.diff(time[by_time]) == 0)).sum()))


def _number_again(columns: Columns, user: NDArray[np.int64], item: NDArray[np.int64]) -> Sequences:
    """Cut rows sorted by user into sequences, and number the items that are left from 0 on."""
    items, row = np.unique(item, return_inverse=True)
    users, start = np.unique(user, return_index=True)
    user_ids, item_ids = columns.users.ids, columns.items.ids
    return Sequences(
        users=tuple(user_ids[number] for number in users),
        items=tuple(item_ids[number] for number in items),
        sequences=tuple(np.split(row.astype(np.int32), start[1:])),
    )
