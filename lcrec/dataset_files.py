"""The files of a dataset folder, one reader and one writer each, refusing damage with its place.

`lcrec.dataset` puts them together. Lines are read as bytes: titles may hold characters such as U+2028 that
`str.splitlines` would take for the end of a line.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from lcrec.errors import DatasetError, ItemCodesError, LcrecError
from lcrec.histories import Histories
from lcrec.items import Int32, Item, ItemCodes
from lcrec.user_texts import UserTexts
from odllm_artifact import ArtifactError, read_json, write_json

SCHEMA_VERSION = 1
"""Of `dataset.json` and `codes.json`; a reader refuses newer ones."""

T = TypeVar("T")


class Counts(msgspec.Struct, omit_defaults=True):
    """How much a dataset holds: a file cut off at a line's end is noticed by it."""

    users: int
    items: int
    interactions: int
    user_texts: int = 0


class Header(msgspec.Struct):
    """`dataset.json`."""

    schema_version: int
    name: str
    counts: Counts
    repairs: dict[str, int] = {}
    source: dict[str, str] = {}


class _SequenceLine(msgspec.Struct):
    """A line of `sequences.jsonl`."""

    user: str
    items: list[str]


class _CodesFile(msgspec.Struct):
    """`codes.json`."""

    schema_version: int
    code_sizes: list[int]
    codes: dict[str, list[int]]
    method: dict[str, Any] = {}
    statistics: dict[str, Any] = {}


def read_header(path: Path) -> Header:
    """Read `dataset.json`.

    Raises:
        DatasetError: it is missing, damaged, or from a newer schema.
    """
    if not path.is_file():
        raise DatasetError(
            f"{path.parent} is not a dataset folder: it has no {path.name}. Make one with: odllm data import"
        )
    return _read_versioned(path, Header, DatasetError)


def read_items(path: Path) -> tuple[Item, ...]:
    """Read `items.jsonl`; keys beside id, title and text are left alone.

    Raises:
        DatasetError: it is missing, or a line is damaged.
    """
    return tuple(item for _, item in _read_lines(path, Item))


def read_sequences(path: Path, row_of_id: Mapping[str, int]) -> tuple[tuple[str, ...], Histories]:
    """Read `sequences.jsonl` into user ids and int32 item rows.

    Raises:
        DatasetError: it is missing, a line is damaged, or an item is not in the table.
    """
    users: list[str] = []
    rows, lengths = array("i"), array("q")
    for line, record in _read_lines(path, _SequenceLine):
        try:
            rows.extend([row_of_id[item_id] for item_id in record.items])
        except KeyError as error:
            raise DatasetError(
                f"{path}, line {line}: user {record.user!r} has item {error.args[0]!r}, which is not in items.jsonl"
            ) from error
        users.append(record.user)
        lengths.append(len(record.items))
    return tuple(users), Histories.of_lengths(np.frombuffer(rows, np.int32), np.frombuffer(lengths, np.int64))


def read_user_texts(path: Path, users: Collection[str], row_of_id: Mapping[str, int]) -> dict[str, UserTexts]:
    """Read `user_texts.jsonl`, by user id.

    Raises:
        DatasetError: a line is damaged, or about a user or an item that the dataset does not have.
    """
    texts: dict[str, UserTexts] = {}
    for line, record in _read_lines(path, UserTexts):
        if record.user not in users:
            raise DatasetError(f"{path}, line {line}: user {record.user!r} is not in sequences.jsonl")
        if record.user in texts:
            raise DatasetError(f"{path}, line {line}: user {record.user!r} is there twice")
        unknown = [intention.item for intention in record.intentions if intention.item not in row_of_id]
        if unknown:
            raise DatasetError(
                f"{path}, line {line}: an intention means item {unknown[0]!r}, which is not in items.jsonl"
            )
        texts[record.user] = record
    return texts


def read_codes(path: Path, item_ids: Sequence[str]) -> ItemCodes:
    """Read `codes.json` for exactly these items.

    Raises:
        ItemCodesError: it is damaged, from a newer schema, or an item has no codes, too many or too few
            codes, or codes outside their level.
    """
    file = _read_versioned(path, _CodesFile, ItemCodesError)
    levels = len(file.code_sizes)
    for item_id in item_ids:
        found = file.codes.get(item_id)
        if found is None:
            raise ItemCodesError(f"{path}: item {item_id!r} has no codes. Build them again: odllm codes")
        if len(found) != levels:
            raise ItemCodesError(f"{path}: item {item_id!r} has {len(found)} codes; expected {levels}")
    if len(file.codes) != len(item_ids):
        extra = next(iter(file.codes.keys() - set(item_ids)))
        raise ItemCodesError(f"{path}: there are codes for {extra!r}, which is not in items.jsonl")
    try:
        codes = np.array([file.codes[item_id] for item_id in item_ids], dtype=np.int32)
        return ItemCodes(codes.reshape(len(item_ids), levels), tuple(file.code_sizes))
    except (OverflowError, ItemCodesError) as error:
        raise ItemCodesError(f"{path}: {error}") from error


def read_codes_method(path: Path) -> dict[str, Any]:
    """Read how the codes of `codes.json` were made.

    Raises:
        ItemCodesError: it is missing, damaged, or from a newer schema.
    """
    return _read_versioned(path, _CodesFile, ItemCodesError).method


def write_header(path: Path, header: Header) -> None:
    """Write `dataset.json`."""
    write_json(path, msgspec.to_builtins(header))


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Write `items.jsonl`."""
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(item) + b"\n" for item in items)


def write_sequences(path: Path, users: Sequence[str], sequences: Sequence[Int32], item_ids: Sequence[str]) -> None:
    """Write `sequences.jsonl`."""
    lines = (
        _SequenceLine(user, [item_ids[row] for row in sequence.tolist()])
        for user, sequence in zip(users, sequences, strict=True)
    )
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)


def write_user_texts(path: Path, texts: Mapping[str, UserTexts]) -> None:
    """Write `user_texts.jsonl`."""
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(text) + b"\n" for text in texts.values())


def write_codes(
    path: Path,
    codes: ItemCodes,
    item_ids: Sequence[str],
    method: Mapping[str, Any],
    statistics: Mapping[str, Any],
) -> None:
    """Write `codes.json` in one step.

    Raises:
        ItemCodesError: the number of ids differs from the number of items that have codes.
    """
    if codes.items != len(item_ids):
        raise ItemCodesError(f"codes for {codes.items} items do not fit {len(item_ids)} items")
    file = _CodesFile(
        schema_version=SCHEMA_VERSION,
        code_sizes=list(codes.sizes),
        codes=dict(zip(item_ids, codes.codes.tolist(), strict=True)),
        method=dict(method),
        statistics=dict(statistics),
    )
    write_json(path, msgspec.to_builtins(file))


def _read_versioned(path: Path, kind: type[T], error_class: type[LcrecError]) -> T:
    """Read a JSON file that carries `schema_version`, checking that before anything else."""
    try:
        value = read_json(path)
    except ArtifactError as error:
        raise error_class(str(error)) from error
    version = value.get("schema_version") if isinstance(value, dict) else None
    if not isinstance(version, int) or version < 1:
        raise error_class(f"{path} has schema_version {version!r}; expected {SCHEMA_VERSION}")
    if version > SCHEMA_VERSION:
        raise error_class(
            f"{path} has schema_version {version}; this odllm reads up to {SCHEMA_VERSION}. Install a newer odllm."
        )
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise error_class(f"{path}: {error}") from error


def _read_lines(path: Path, kind: type[T]) -> Iterator[tuple[int, T]]:
    """Decode a JSON-lines file into (1-based line, record)."""
    decoder = msgspec.json.Decoder(kind)
    try:
        with path.open("rb") as file:
            for line, text in enumerate(file, start=1):
                yield line, _decode_line(decoder, text, path, line)
    except OSError as error:
        raise DatasetError(
            f"cannot read {path}: {error.strerror}. Make the dataset again: odllm data import"
        ) from error


def _decode_line(decoder: msgspec.json.Decoder[T], text: bytes, path: Path, line: int) -> T:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}, line {line}: {error}. The file may be truncated; make the dataset again: odllm data import"
        ) from error
