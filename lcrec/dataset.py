"""The dataset of a recommender: items, users' sequences in time order, item codes, and its folder on disk.

    dataset.json       schema version, name, counts, what the import repaired, hashes of the source files
    items.jsonl        one item a line; the line is the item's row
    sequences.jsonl    one user a line, items by id in time order
    codes.json         the item codes, once there are any
    user_texts.jsonl   what a language model wrote about users, if the source has such texts

Everything after the import (`odllm codes`, `train`, `evaluate`, `export`) starts from `load_dataset`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcrec import dataset_files as files
from lcrec.errors import DatasetError, ItemCodesError
from lcrec.histories import Histories, LeaveOneOut
from lcrec.items import Int32, Item, ItemCodes
from lcrec.user_texts import UserTexts
from odllm_artifact import write_folder

__all__ = [
    "MIN_INTERACTIONS",
    "Dataset",
    "Item",
    "ItemCodes",
    "LeaveOneOut",
    "load_dataset",
    "save_codes",
    "save_dataset",
]

MIN_INTERACTIONS = 3
"""Interactions a user needs: one to train on, one to validate on, one to test on."""

_SEARCHED_FOR_NEAREST = 20_000
"""Items looked through for a near id: an error message must not take seconds in a catalogue of millions."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Who interacted with what, in which order.

    Attributes:
        name: what reports call it.
        items: the catalogue in row order.
        users: user ids.
        sequences: int32 item rows of each user in time order, at least three. Whatever is given becomes a
            `Histories`, one flat array.
        codes: the item codes by row, or None before `odllm codes`.
        user_texts: what was written about users, by user id; empty where the source has no such texts.

    Raises:
        DatasetError: an id twice, a row outside the catalogue, a user with fewer than three interactions.
        ItemCodesError: codes for another number of items.
    """

    name: str
    items: tuple[Item, ...] = field(repr=False)
    users: tuple[str, ...] = field(repr=False)
    sequences: Sequence[Int32] = field(repr=False)
    codes: ItemCodes | None = None
    user_texts: Mapping[str, UserTexts] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _check_ids("item", [item.id for item in self.items])
        _check_ids("user", self.users)
        if len(self.users) != len(self.sequences):
            raise DatasetError(f"{len(self.users)} users have {len(self.sequences)} sequences; expected one each")
        object.__setattr__(self, "sequences", Histories.of(self.sequences))
        self._check_sequences()
        if self.codes is not None and self.codes.items != len(self.items):
            raise ItemCodesError(f"codes for {self.codes.items} items do not fit {len(self.items)} items")

    def _check_sequences(self) -> None:
        lengths = self.histories.lengths
        short = np.flatnonzero(lengths < MIN_INTERACTIONS)
        if len(short):
            raise DatasetError(
                f"user {self.users[short[0]]!r} has {lengths[short[0]]} interactions; "
                f"expected at least {MIN_INTERACTIONS}"
            )
        rows = self.histories.joined()
        outside = np.flatnonzero((rows < 0) | (rows >= len(self.items)))
        if len(outside):
            user = self.users[np.searchsorted(np.cumsum(lengths), outside[0], side="right")]
            raise DatasetError(f"user {user!r} has an item row outside 0 to {len(self.items) - 1}")

    @property
    def histories(self) -> Histories:
        """The sequences as what they are kept as."""
        return Histories.of(self.sequences)

    @property
    def interactions(self) -> int:
        """Interactions over all users."""
        return int(self.histories.lengths.sum())

    @cached_property
    def item_ids(self) -> tuple[str, ...]:
        """Item ids in row order."""
        return tuple(item.id for item in self.items)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def row_of(self, item_id: str) -> int:
        """Return the row of an item.

        Raises:
            DatasetError: no item has this id; the message names up to three near ids or titles.
        """
        row = self._rows.get(item_id)
        if row is None:
            near = self._nearest(item_id)
            hint = f" Near it: {', '.join(near)}." if near else " See items.jsonl for the ids there are."
            raise DatasetError(f"unknown item id {item_id!r}: {self.name} has {len(self.items)} items.{hint}")
        return row

    def rows_of(self, item_ids: Iterable[str]) -> Int32:
        """Return the rows of items, int32 in the given order.

        Raises:
            DatasetError: as `row_of`.
        """
        return np.array([self.row_of(item_id) for item_id in item_ids], dtype=np.int32)

    def _nearest(self, wanted: str) -> list[str]:
        """Return up to three items whose id, or else title, resembles `wanted`."""
        items = list(islice(self.items, _SEARCHED_FOR_NEAREST))
        ids = difflib.get_close_matches(wanted, [item.id for item in items], n=3)
        by_title = {item.title.casefold(): item.id for item in items if item.title}
        titles = difflib.get_close_matches(wanted.casefold(), list(by_title), n=3)
        found = dict.fromkeys([*ids, *(by_title[title] for title in titles)])
        near = (self.items[self._rows[item_id]] for item_id in islice(found, 3))
        return [f"{item.id} ({item.title})" if item.title else item.id for item in near]

    def require_codes(self) -> ItemCodes:
        """Return the item codes.

        Raises:
            ItemCodesError: there are none yet.
        """
        if self.codes is None:
            raise ItemCodesError(f"dataset {self.name} has no item codes. Build them with: odllm codes DATASET")
        return self.codes

    def statistics(self) -> dict[str, Any]:
        """Return sizes, sequence lengths in interactions, sparsity (0 to 1) and code usage, ready for JSON."""
        lengths = self.histories.lengths
        shortest, median, longest = np.quantile(lengths, (0, 0.5, 1)) if len(lengths) else (0, 0, 0)
        cells = max(len(self.users) * len(self.items), 1)
        return {
            "name": self.name,
            "users": len(self.users),
            "items": len(self.items),
            "interactions": self.interactions,
            "length_mean": round(self.interactions / max(len(self.users), 1), 2),
            "length_min": int(shortest),
            "length_median": float(median),
            "length_max": int(longest),
            "sparsity": round(1 - self.interactions / cells, 6),
            "items_without_training": int((self.popularity() == 0).sum()),
            "codes": None if self.codes is None else self.codes.statistics(),
        }

    def split(self) -> LeaveOneOut:
        """Return the leave-one-out split; histories are views of `sequences`, not copies."""
        return self.histories.leave_one_out()

    def popularity(self, exclude_last: int = 2) -> NDArray[np.int64]:
        """Count how often each item occurs, int64 `[items]`.

        Args:
            exclude_last: interactions at each sequence's end that do not count; 2 leaves the training part.
        """
        rows = self.histories.without_last(exclude_last).joined()
        return np.bincount(rows, minlength=len(self.items)).astype(np.int64)


def load_dataset(folder: Path, *, with_codes: bool = True) -> Dataset:
    """Read a dataset folder, item codes included where there are any.

    Args:
        folder: what `save_dataset` wrote.
        with_codes: read `codes.json` too; without, it may be damaged, as when it is about to be replaced.

    Raises:
        DatasetError: it is not a dataset folder, from a newer schema, truncated or damaged; the message names
            the file and the line.
        ItemCodesError: `codes.json` is damaged or does not fit the items.
    """
    header = files.read_header(folder / "dataset.json")
    items = files.read_items(folder / "items.jsonl")
    rows = {item.id: row for row, item in enumerate(items)}
    users, sequences = files.read_sequences(folder / "sequences.jsonl", rows)
    found = files.Counts(len(users), len(items), len(sequences.rows))
    texts_path = folder / "user_texts.jsonl"
    texts = files.read_user_texts(texts_path, set(users), rows) if texts_path.exists() else {}
    found.user_texts = len(texts)
    if found != header.counts:
        raise DatasetError(
            f"{folder} holds {found}, its dataset.json says {header.counts}. "
            "A file is truncated or was edited; make the dataset again: odllm data import"
        )
    codes_path = folder / "codes.json"
    codes = None
    if with_codes and codes_path.exists():
        codes = files.read_codes(codes_path, [item.id for item in items])
    try:
        return Dataset(header.name, items, users, sequences, codes, texts)
    except DatasetError as error:
        raise DatasetError(f"{folder}: {error}") from error


def save_dataset(
    dataset: Dataset,
    folder: Path,
    *,
    repairs: Mapping[str, int] | None = None,
    source: Mapping[str, str] | None = None,
    codes_method: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a dataset folder, whole or not at all.

    Args:
        dataset: what to write; `codes.json` is written where it has codes.
        folder: where; its parent is created.
        repairs: what the import mended, by name, counted.
        source: SHA-256 of the files it was made from, by file name.
        codes_method: how the codes were made; default: that they came with the data.
        overwrite: replace a folder that is there already.

    Raises:
        ArtifactError: something is there already and `overwrite` is false, or it cannot be written.
    """
    texts = {user: dataset.user_texts[user] for user in dataset.users if user in dataset.user_texts}
    counts = files.Counts(len(dataset.users), len(dataset.items), dataset.interactions, len(texts))
    header = files.Header(files.SCHEMA_VERSION, dataset.name, counts, dict(repairs or {}), dict(source or {}))
    with write_folder(folder, overwrite=overwrite) as staging:
        files.write_header(staging / "dataset.json", header)
        files.write_items(staging / "items.jsonl", dataset.items)
        files.write_sequences(staging / "sequences.jsonl", dataset.users, dataset.sequences, dataset.item_ids)
        if texts:
            files.write_user_texts(staging / "user_texts.jsonl", texts)
        if dataset.codes is not None:
            method = codes_method or {"name": "imported"}
            save_codes(staging, dataset.codes, dataset.item_ids, method, dataset.codes.statistics())


def save_codes(
    folder: Path,
    codes: ItemCodes,
    item_ids: Sequence[str],
    method: Mapping[str, Any],
    statistics: Mapping[str, Any],
) -> None:
    """Write `codes.json` into a dataset folder in one step, replacing an older one.

    Raises:
        ItemCodesError: the number of ids differs from the number of items that have codes.
    """
    files.write_codes(folder / "codes.json", codes, item_ids, method, statistics)


def _check_ids(kind: str, ids: Sequence[str]) -> None:
    """Refuse ids that are empty, hold a line break, or occur twice."""
    seen: set[str] = set()
    for row, one in enumerate(ids):
        if not one or "\n" in one or "\r" in one:
            raise DatasetError(f"{kind} {row} has the id {one!r}; expected one line of text that is not empty")
        if not _is_text(one):
            raise DatasetError(f"{kind} {row} has the id {one!r}, which cannot be written as UTF-8")
        if one in seen:
            raise DatasetError(f"{kind} id {one!r} occurs twice; ids must differ")
        seen.add(one)


def _is_text(text: str) -> bool:
    """Tell whether `text` can be written; JSON may hold half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
