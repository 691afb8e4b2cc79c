"""Reader of LC-Rec's files: sequences, titles (which may be missing), and 2 to 6 codes an item.

X.inter.json   user id -> item ids in time order
X.item.json    item id -> {"title": …, "description": …}
X.index.json   item id -> ["<a_240>", "<b_118>", "<c_21>", "<d_18>"]
X.user.json    texts about users, which need not be there (`lcrec_users`)
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lcrec.dataset import MIN_INTERACTIONS, Dataset, Item, ItemCodes
from lcrec.errors import DatasetError
from lcrec.importers.imported import Imported, hash_sources, require_file
from lcrec.importers.lcrec_users import parse_user_texts
from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_text, clean_title
from lcrec.items import MAX_LEVELS, MIN_LEVELS, Int32
from odllm_artifact import ArtifactError, read_json

USUAL_SIZE = 256
"""Codes a level in LC-Rec's own files; the highest may happen not to occur."""

LARGEST_CODE = 65_535
"""A code above it is a damaged file, not a vocabulary."""

_TOKEN = re.compile(r"<([a-z])_([0-9]{1,9})>")


class _Files:
    """Where the files of one dataset are."""

    def __init__(self, inter: Path) -> None:
        self.name = inter.name.removesuffix(".inter.json")
        self.inter = inter
        self.item = inter.with_name(f"{self.name}.item.json")
        self.index = inter.with_name(f"{self.name}.index.json")
        self.user = inter.with_name(f"{self.name}.user.json")


def import_lcrec(source: Path, *, name: str | None = None, with_codes: bool = True) -> Imported:
    """Read a dataset of LC-Rec.

    Args:
        source: the folder with the files of one dataset, or the path of its `X.inter.json`.
        name: what reports call the dataset; default: X.
        with_codes: read the item codes; without, `X.index.json` need not exist.

    Raises:
        DatasetError: a file is missing or damaged, an item has no codes or is not in the table, codes differ
            in depth, or a number is none.
    """
    files = _Files(_find_interactions(source))
    repairs = Repairs()
    inter = _read_object(files.inter)
    table = _read_object(files.item) if files.item.is_file() else None
    index = _read_object(require_file(files.index, "LC-Rec")) if with_codes else None
    ids = _item_ids(inter, table, index, files)
    rows = {item_id: row for row, item_id in enumerate(ids)}
    users, sequences = _read_sequences(inter, rows, files.inter, repairs)
    items = tuple(_read_item(item_id, table, files.item, repairs) for item_id in ids)
    codes = None if index is None else parse_codes([index[item_id] for item_id in ids], ids, files.index)
    repairs.add("items_without_interactions_kept", len(ids) - len(np.unique(np.concatenate(sequences))))
    read = [files.inter, *([files.item] if table else []), *([files.index] if index else [])]
    dataset = Dataset(name or files.name.lower(), items, users, sequences, codes)
    if files.user.is_file():
        texts = parse_user_texts(_read_object(files.user), dataset, files.user, repairs)
        dataset = dataclasses.replace(dataset, user_texts=texts)
        read.append(files.user)
    return Imported(dataset, repairs.counts(), hash_sources(read))


def parse_codes(tokens: list[Any], item_ids: list[str], path: Path) -> ItemCodes:
    """Turn code tokens (`<a_12>`) into `ItemCodes`; each level has 256 codes, or as many as occur if more.

    Raises:
        DatasetError: an item's codes are no list of 2 to 6 tokens, of another depth than the first item's,
            out of order, or too high to be true.
    """
    depth = len(tokens[0]) if isinstance(tokens[0], list) else 0
    codes = np.empty((len(tokens), depth), dtype=np.int32)
    for row, (item_id, item_tokens) in enumerate(zip(item_ids, tokens, strict=True)):
        place = f"{path}, item {item_id!r}"
        if not isinstance(item_tokens, list) or not MIN_LEVELS <= len(item_tokens) <= MAX_LEVELS:
            raise DatasetError(f"{place}: {item_tokens!r}; expected {MIN_LEVELS} to {MAX_LEVELS} codes")
        if len(item_tokens) != depth:
            raise DatasetError(f"{place}: {len(item_tokens)} codes; item {item_ids[0]!r} has {depth}")
        codes[row] = [_parse_token(token, level, place) for level, token in enumerate(item_tokens)]
    return ItemCodes(codes, tuple(max(USUAL_SIZE, int(top) + 1) for top in codes.max(axis=0)))


def _parse_token(token: object, level: int, place: str) -> int:
    prefix = chr(ord("a") + level)
    match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    if match is None or match[1] != prefix or int(match[2]) > LARGEST_CODE:
        raise DatasetError(
            f"{place}: code {level + 1} is {token!r}; expected <{prefix}_0> to <{prefix}_{LARGEST_CODE}>"
        )
    return int(match[2])


def _find_interactions(source: Path) -> Path:
    """Return the one `X.inter.json` that `source` is or holds."""
    if source.is_file() and source.name.endswith(".inter.json"):
        return source
    found = sorted(source.glob("*.inter.json")) if source.is_dir() else []
    if not found:
        raise DatasetError(f"{source}: no X.inter.json there; expected a folder that has one, or its path")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DatasetError(f"{source} holds several datasets: {names}. Give the path of one of them.")
    return found[0]


def _read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object that is not empty."""
    try:
        value = read_json(path)
    except ArtifactError as error:
        raise DatasetError(str(error)) from error
    if not isinstance(value, dict) or not value:
        raise DatasetError(f"{path} holds {type(value).__name__} {str(value)[:40]!r}; expected an object with ids")
    return value


def _item_ids(
    inter: Mapping[str, Any], table: Mapping[str, Any] | None, index: Mapping[str, Any] | None, files: _Files
) -> list[str]:
    """Return the catalogue: the items with codes, else those with titles, else those that occur."""
    if index is not None:
        without = [item_id for item_id in table or {} if item_id not in index]
        if without:
            raise DatasetError(
                f"{files.index}: no codes for item {without[0]!r} of {files.item.name} ({len(without)} such items)"
            )
        return list(index)
    if table is not None:
        return list(table)
    occurring = (item for items in inter.values() if isinstance(items, list) for item in items)
    return list(dict.fromkeys(str(item) for item in occurring))


def _read_sequences(
    inter: Mapping[str, Any], row_of_id: Mapping[str, int], path: Path, repairs: Repairs
) -> tuple[tuple[str, ...], tuple[Int32, ...]]:
    users, sequences = [], []
    for user, items in inter.items():
        if not isinstance(items, list):
            raise DatasetError(f"{path}, user {user!r}: {items!r}; expected a list of item ids")
        rows = [_row(item, row_of_id, user, path) for item in items]
        if len(rows) < MIN_INTERACTIONS:
            repairs.add("users_too_short")
            continue
        users.append(user)
        sequences.append(np.array(rows, dtype=np.int32))
    if not users:
        raise DatasetError(f"{path}: none of {len(inter)} users has {MIN_INTERACTIONS} interactions")
    return tuple(users), tuple(sequences)


def _row(item: object, row_of_id: Mapping[str, int], user: str, path: Path) -> int:
    if isinstance(item, bool) or not isinstance(item, int | str):
        raise DatasetError(f"{path}, user {user!r}: item {item!r}; expected an item id")
    row = row_of_id.get(str(item))
    if row is None:
        raise DatasetError(f"{path}, user {user!r}: item {str(item)!r} is in no table of items, or has no codes")
    return row


def _read_item(item_id: str, table: Mapping[str, Any] | None, path: Path, repairs: Repairs) -> Item:
    """Return the item; without a table of titles its title is empty, which is no damage."""
    if table is None:
        return Item(item_id, "")
    entry = table.get(item_id, {})
    if not isinstance(entry, dict):
        raise DatasetError(f"{path}, item {item_id!r}: {entry!r}; expected an object with a title")
    title, text = entry.get("title") or "", entry.get("description") or ""
    if isinstance(text, list):  # Amazon's descriptions are lists of paragraphs
        text = " ".join(str(part) for part in text)
    if not isinstance(title, str) or not isinstance(text, str):
        raise DatasetError(f"{path}, item {item_id!r}: title or description is no text")
    return Item(item_id, clean_title(title, item_id, repairs), clean_text(text, repairs))
