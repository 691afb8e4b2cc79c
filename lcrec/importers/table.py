"""One table of user, item, timestamp and, if there are any, title and rating, whatever kind of file it lies in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset, Item
from lcrec.errors import DatasetError
from lcrec.importers.imported import Imported, hash_sources
from lcrec.importers.interactions import Columns, Limits, to_sequences
from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_title

USER, ITEM, TIME, TITLE, RATING = range(5)
"""The order in which readers of tables ask for the columns."""


class Block(Protocol):
    """Some rows of a table, column by column."""

    def texts(self, column: int) -> list[str]:
        """Return a column's values, stripped; empty ones where there is no such column."""

    def numbers(self, column: int, name: str) -> NDArray[np.float64]:
        """Return a column of finite numbers, float64 `[rows]`.

        Raises:
            DatasetError: a value is none; the message calls the column `name`.
        """

    def place(self, row: int) -> str:
        """Name a row of the block for a message."""


@dataclass(frozen=True)
class TableColumns:
    """The names of the columns; case does not matter.

    Attributes:
        user: the user ids.
        item: the item ids.
        timestamp: a number that grows with time, in any unit.
        title: the items' titles; None reads the column `title` where there is one.
        rating: a number; None reads the column `rating` where there is one.
    """

    user: str = "user"
    item: str = "item"
    timestamp: str = "timestamp"
    title: str | None = None
    rating: str | None = None

    @property
    def required(self) -> tuple[str, str, str]:
        """The columns a table must have."""
        return self.user, self.item, self.timestamp

    @property
    def optional(self) -> tuple[str, str]:
        """The columns a table may have."""
        return self.title or "title", self.rating or "rating"

    def check(self, path: Path, present: list[bool], min_rating: float | None) -> None:
        """Refuse a column that was asked for by name and is not there, and a rating limit without ratings.

        Raises:
            DatasetError: that is so.
        """
        for wanted, is_there in zip((self.title, self.rating), present, strict=True):
            if wanted is not None and not is_there:
                raise DatasetError(f"{path}: no column {wanted!r}")
        if min_rating is not None and not present[1]:
            raise DatasetError(f"{path}: --min-rating {min_rating} needs a column with ratings; name it")


def read_block(block: Block, names: TableColumns, min_rating: float | None, columns: Columns, repairs: Repairs) -> None:
    """Append the interactions of a block, those rated too low counted and left out.

    Raises:
        DatasetError: an id is empty, or a number is none.
    """
    users, items = block.texts(USER), block.texts(ITEM)
    for ids, name in ((users, names.user), (items, names.item)):
        if "" in ids:
            raise DatasetError(f"{block.place(ids.index(''))}: an empty {name}")
    times = block.numbers(TIME, names.timestamp)
    if min_rating is None:
        columns.add(users, items, times)
        return
    kept = block.numbers(RATING, names.optional[1]) >= min_rating
    repairs.add("interactions_below_min_rating", int((~kept).sum()))
    columns.add(compress(users, kept), compress(items, kept), times[kept])


def import_table(
    path: Path, blocks: Iterable[Block], names: TableColumns, has_titles: bool, name: str, limits: Limits
) -> Imported:
    """Read a table to its end.

    Args:
        path: the file or folder, for the hashes.
        blocks: its rows, columns in the order of `USER` to `RATING`.
        names: what the columns are called.
        has_titles: whether there is a column of titles.
        name: what reports call the dataset.
        limits: which interactions stay.

    Raises:
        DatasetError: an id is empty, a number is none, or nothing is left.
    """
    repairs, columns, titles = Repairs(), Columns(), _Titles()
    for block in blocks:
        read_block(block, names, limits.min_rating, columns, repairs)
        if has_titles:
            titles.add(block.texts(ITEM), block.texts(TITLE))
    left = to_sequences(columns, limits, repairs)
    repairs.add("conflicting_titles", len(titles.conflicting))
    repairs.add("items_without_interactions", len(columns.items) - len(left.items))
    items = tuple(
        Item(one, clean_title(titles.first.get(one, ""), one, repairs) if has_titles else "") for one in left.items
    )
    return Imported(Dataset(name, items, left.users, left.sequences), repairs.counts(), hash_sources([path]))


class _Titles:
    """The first title of each item that is not empty."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}
        self.conflicting: set[str] = set()

    def add(self, items: list[str], titles: list[str]) -> None:
        for item_id, title in zip(items, titles, strict=True):
            if title and self.first.setdefault(item_id, title) != title:
                self.conflicting.add(item_id)
