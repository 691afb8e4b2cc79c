"""Where the samples of each task come from: the users' training parts and the items' words, never a held-out item.

A source counts its samples, draws what is left to chance in one (a target, a query), and fills the placeholders.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.errors import TaskError
from lcrec.tasks.item_pieces import ItemPieces
from lcrec.tasks.request_ids import Filled

Int64 = NDArray[np.int64]


class Source(Protocol):
    """Samples of one task."""

    @property
    def size(self) -> int:
        """How many samples there are; each has its turn once an epoch, at a weight of 1."""

    def draw(self, samples: Int64, random: np.random.Generator) -> Int64:
        """Draw what is left to chance: int64 `[samples, …]`, whatever `fill` understands."""

    def has(self, drawn: Int64) -> dict[str, NDArray[np.bool_]]:
        """Return which placeholders can be filled, bool `[samples]` each."""

    def fill(self, slot: str, drawn: Int64) -> Filled:
        """Fill a placeholder of one sample, `drawn` being its row."""


class ItemSource:
    """An item's words and its codes: `item2index` and `index2item`."""

    def __init__(self, task: str, dataset: Dataset, pieces: ItemPieces) -> None:
        """Count the items that have words.

        Raises:
            TaskError: none has.
        """
        self._pieces = pieces
        self._rows = np.flatnonzero(pieces.titles.present | pieces.descriptions.present)
        if not len(self._rows):
            raise TaskError(f"{dataset.name} has no titles and no descriptions: leave {task} out of the tasks")

    @property
    def size(self) -> int:
        """Items with words."""
        return len(self._rows)

    def draw(self, samples: Int64, random: np.random.Generator) -> Int64:
        """Return the items' rows; nothing is left to chance."""
        return self._rows[samples, None]

    def has(self, drawn: Int64) -> dict[str, NDArray[np.bool_]]:
        """Every item has codes."""
        rows = drawn[:, 0]
        return {
            "codes": np.ones(len(rows), dtype=bool),
            "title": self._pieces.titles.present[rows],
            "description": self._pieces.descriptions.present[rows],
        }

    def fill(self, slot: str, drawn: Int64) -> Filled:
        """Fill a placeholder with the item's own."""
        return self._pieces.item(slot, int(drawn[0]))


class HistorySource:
    """A user's history and an item that followed, in codes and in words: `fusionseqrec`.

    As many samples as histories have windows, each at an item of the training part that is drawn.
    """

    def __init__(self, task: str, dataset: Dataset, pieces: ItemPieces) -> None:
        """Count the users.

        Raises:
            TaskError: no item has words, or no training part has two items.
        """
        self._pieces = pieces
        self._parts = [part for part in dataset.split().train if len(part) > 1]
        windows = [-(-(len(part) - 1) // pieces.history.max_items) for part in self._parts]
        self._users = np.repeat(np.arange(len(self._parts)), windows)
        if not pieces.titles.present.any():
            raise TaskError(f"{dataset.name} has no titles: leave {task} out of the tasks")
        if not self._parts:
            raise TaskError(f"no user of {dataset.name} has four interactions, two of them held out: {task} takes two")

    @property
    def size(self) -> int:
        """Windows of the users with two items to learn from."""
        return len(self._users)

    def draw(self, samples: Int64, random: np.random.Generator) -> Int64:
        """Draw the place of the item that followed."""
        users = self._users[samples]
        lengths = np.array([len(self._parts[user]) for user in users], dtype=np.int64)
        return np.stack([users, random.integers(1, lengths)], axis=1)

    def has(self, drawn: Int64) -> dict[str, NDArray[np.bool_]]:
        """Every history has codes, and titles if one of its items has one."""
        titles, descriptions = self._pieces.titles.present, self._pieces.descriptions.present
        parts = [(self._parts[user], place) for user, place in drawn.tolist()]
        targets = np.array([part[place] for part, place in parts], dtype=np.int64)
        return {
            "codes": np.ones(len(drawn), dtype=bool),
            "history": np.ones(len(drawn), dtype=bool),
            "title": titles[targets],
            "description": descriptions[targets],
            "titles": np.array([titles[self._pieces.read(part[:place])].any() for part, place in parts], dtype=bool),
        }

    def fill(self, slot: str, drawn: Int64) -> Filled:
        """Fill a placeholder with what was, or with the item that followed."""
        part, place = self._parts[drawn[0]], int(drawn[1])
        if slot in ("history", "titles"):
            return self._pieces.past(slot, part[:place])
        return self._pieces.item(slot, int(part[place]))
