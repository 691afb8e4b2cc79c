"""Sources made of the texts about users: wishes (`itemsearch`) and preferences (`preferenceobtain`).

Only what the training part knows is used, as LC-Rec has it: preferences sum up all of it but its last item, and a wish
means one of its items, given what came before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.errors import TaskError
from lcrec.tasks.cleaning import plain_text
from lcrec.tasks.item_pieces import ItemPieces
from lcrec.tasks.reading import ReadTexts, WordReader
from lcrec.tasks.request_ids import Filled
from lcrec.tasks.sources import Int64
from lcrec.user_texts import Intention, UserTexts

_NONE = -1


class _TextLists:
    """Several versions of a text for each of many owners, in token ids."""

    def __init__(self, lists: Sequence[Sequence[str]], reader: WordReader, max_tokens: int) -> None:
        self.counts = np.array([len(texts) for texts in lists], dtype=np.int64)
        self._firsts = np.cumsum(self.counts) - self.counts
        self.texts: ReadTexts = reader.texts([text for texts in lists for text in texts], max_tokens)

    def draw(self, owners: Int64, random: np.random.Generator) -> Int64:
        """Draw one text for each owner, by its number; -1 where there is none, or no owner (-1)."""
        counts = np.where(owners >= 0, self.counts[owners], 0)
        drawn = self._firsts[owners] + random.integers(0, np.maximum(counts, 1))
        return np.where(counts > 0, drawn, _NONE)

    def fill(self, number: int) -> Filled:
        return Filled(self.texts[number], bool(self.texts.whole[number]))


class UserPieces:
    """The texts about the users of a dataset in token ids, read once for both tasks when first asked for."""

    def __init__(self, dataset: Dataset, reader: WordReader, max_tokens: int) -> None:
        pairs = zip(dataset.users, dataset.sequences, strict=True)
        self.users: list[tuple[NDArray[np.int32], UserTexts]] = [
            (sequence, dataset.user_texts[user]) for user, sequence in pairs if user in dataset.user_texts
        ]
        self._reader = reader
        self._max_tokens = max_tokens

    @cached_property
    def preferences(self) -> _TextLists:
        """Of every user that has texts."""
        return self._read(texts.preferences for _, texts in self.users)

    @cached_property
    def queries(self) -> _TextLists:
        """Of every wish of every user that has texts."""
        return self._read(wish.queries for _, texts in self.users for wish in texts.intentions)

    def _read(self, lists: Iterable[Sequence[str]]) -> _TextLists:
        plain = [[tidy for text in texts if (tidy := plain_text(text))] for texts in lists]
        return _TextLists(plain, self._reader, self._max_tokens)


class PreferenceSource:
    """A user's history and what it says about them: `preferenceobtain`, one sample a user."""

    def __init__(self, task: str, dataset: Dataset, pieces: ItemPieces, texts: UserPieces) -> None:
        """Take the users with preferences and a history before the last item of the training part.

        Raises:
            TaskError: there are none.
        """
        self._pieces, self._texts = pieces, texts
        long_enough = np.array([len(sequence) > 3 for sequence, _ in texts.users], dtype=bool)
        self._users = np.flatnonzero(long_enough & (texts.preferences.counts > 0))
        if not len(self._users):
            raise _missing(task, dataset, "preferences")

    @property
    def size(self) -> int:
        """Users with preferences."""
        return len(self._users)

    def draw(self, samples: Int64, random: np.random.Generator) -> Int64:
        """Draw a version of the preferences."""
        users = self._users[samples]
        return np.stack([users, self._texts.preferences.draw(users, random)], axis=1)

    def has(self, drawn: Int64) -> dict[str, NDArray[np.bool_]]:
        """Every sample has everything."""
        return {slot: np.ones(len(drawn), dtype=bool) for slot in ("history", "preference")}

    def fill(self, slot: str, drawn: Int64) -> Filled:
        """Fill a placeholder with the history or the preferences."""
        if slot == "history":
            return self._pieces.past(slot, self._texts.users[drawn[0]][0][:-3])
        return self._texts.preferences.fill(int(drawn[1]))


class WishSource:
    """What a user wanted and the item they meant: `itemsearch`, one sample a wish.

    Preferences go with a wish for the last item of the training part only: they sum up what came before it, and would
    give any earlier item away.
    """

    def __init__(self, task: str, dataset: Dataset, pieces: ItemPieces, texts: UserPieces) -> None:
        """Take the wishes that mean an item of the user's training part; the last time it occurs is meant.

        Raises:
            TaskError: there are none.
        """
        self._pieces, self._texts = pieces, texts
        self._parts: list[NDArray[np.int32]] = []
        owners: list[tuple[int, int]] = []  # number of the wish; of the user, or -1 without preferences
        for number, (user, wish) in enumerate(_wishes(texts)):
            part = texts.users[user][0][:-2]
            places = np.flatnonzero(part == dataset.row_of(wish.item))
            if len(places) and texts.queries.counts[number]:
                self._parts.append(part[: places[-1] + 1])
                owners.append((number, user if places[-1] == len(part) - 1 else _NONE))
        if not self._parts:
            raise _missing(task, dataset, "wishes (queries) for items of the training part")
        self._numbers, self._owners = np.array(owners, dtype=np.int64).T

    @property
    def size(self) -> int:
        """Wishes."""
        return len(self._parts)

    def draw(self, samples: Int64, random: np.random.Generator) -> Int64:
        """Draw a version of the wish, and of the preferences."""
        queries = self._texts.queries.draw(self._numbers[samples], random)
        preferences = self._texts.preferences.draw(self._owners[samples], random)
        return np.stack([samples, queries, preferences], axis=1)

    def has(self, drawn: Int64) -> dict[str, NDArray[np.bool_]]:
        """A history may be empty, and preferences may be missing."""
        return {
            "codes": np.ones(len(drawn), dtype=bool),
            "query": np.ones(len(drawn), dtype=bool),
            "preference": drawn[:, 2] != _NONE,
            "history": np.array([len(self._parts[sample]) > 1 for sample in drawn[:, 0]], dtype=bool),
        }

    def fill(self, slot: str, drawn: Int64) -> Filled:
        """Fill a placeholder with the wish, the item, or what was known before."""
        part = self._parts[drawn[0]]
        if slot == "codes":
            return self._pieces.item(slot, int(part[-1]))
        if slot == "history":
            return self._pieces.past(slot, part[:-1])
        if slot == "query":
            return self._texts.queries.fill(int(drawn[1]))
        return self._texts.preferences.fill(int(drawn[2]))


def _wishes(texts: UserPieces) -> Iterable[tuple[int, Intention]]:
    """Yield the number of the user and each of their wishes, in the order of `UserPieces.queries`."""
    return ((user, wish) for user, (_, about) in enumerate(texts.users) for wish in about.intentions)


def _missing(task: str, dataset: Dataset, what: str) -> TaskError:
    return TaskError(
        f"{dataset.name} has no {what}, which {task} is made of. LC-Rec keeps such texts in X.user.json: import the "
        f"data again with that file beside X.inter.json, or leave {task} out of the tasks"
    )
