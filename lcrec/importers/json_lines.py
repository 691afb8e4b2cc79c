"""Files with one record a line, JSON or Python, block by block; damage is named by its line."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.errors import DatasetError
from lcrec.importers.source_file import read_lines
from odllm_artifact import Progress, silent

T = TypeVar("T")

RECORDS_A_BLOCK = 32_768
"""Records held at a time."""

_STRING = r"""u?'[^'\\]*(?:\\.[^'\\]*)*'|u?"[^"\\]*(?:\\.[^"\\]*)*\""""
_PAIR = re.compile(rf"u?'(\w+)': ({_STRING}|[\w.+-]+)(, |}}$)")
"""One entry of a dictionary as `repr` writes it, if its value is a string or a number."""


def read_json_lines(path: Path, kind: type[T], progress: Progress = silent) -> Iterator[tuple[int, T]]:
    """Yield (1-based line, record) of a file of JSON lines, gzip or not; keys that `kind` lacks are skipped.

    Raises:
        DatasetError: the file cannot be read, or a line is no JSON or lacks a field.
    """
    return _decode(path, msgspec.json.Decoder(kind).decode, progress)


def read_python_lines(path: Path, kind: type[msgspec.Struct], progress: Progress = silent) -> Iterator[tuple[int, Any]]:
    """Yield (1-based line, record) of a file whose lines are Python dictionaries, gzip or not.

    Lines are parsed as literals (`ast.literal_eval`): nothing in them is ever run. Of dictionaries of strings and
    numbers only the entries that `kind` has are, in a third of the time.

    Raises:
        DatasetError: the file cannot be read, or a line is no dictionary or lacks a field.
    """
    wanted = frozenset(kind.__struct_encode_fields__)

    def decode(line: bytes) -> msgspec.Struct:
        text = line.decode("utf-8").strip()
        found = _flat_entries(text, wanted)
        return msgspec.convert(_literal(text) if found is None else found, kind)

    return _decode(path, decode, progress)


def _decode(path: Path, decode: Callable[[bytes], T], progress: Progress) -> Iterator[tuple[int, T]]:
    for number, line in read_lines(path, progress):
        try:
            record = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DatasetError(f"{path}, line {number}: {error}. The file may be truncated.") from error
        yield number, record


def _flat_entries(text: str, wanted: Container[str]) -> dict[str, Any] | None:
    """Return the wanted entries of a dictionary of strings and numbers; None where it may be anything else."""
    found: dict[str, Any] = {}
    place, end = 1, ""
    if not text.startswith("{"):
        return None
    while end != "}":
        pair = _PAIR.match(text, place)
        if pair is None:
            return None
        key, value, end = pair.groups()
        if key in wanted:
            found[key] = _literal(value)
        place = pair.end()
    return found


def _literal(text: str) -> Any:
    """Parse Python.

    Raises:
        msgspec.DecodeError: it is no literal, or nested too deeply.
    """
    quote = text[-1:]
    if quote == "'" and "\\" not in text and text.count(quote) == 2 and text.startswith(("'", "u'")):
        return text[text.index(quote) + 1 : -1]
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise msgspec.DecodeError(f"no Python dictionary ({error})") from error


@dataclass(frozen=True, eq=False)
class RecordBlock:
    """Some records as rows of a table.

    Attributes:
        path: the file.
        lines: the 1-based line of each record.
        records: the records.
        fields: the records' attribute for each column; None for a column that is not there.
    """

    path: Path
    lines: Sequence[int] = field(repr=False)
    records: Sequence[Any] = field(repr=False)
    fields: Sequence[str | None]

    def texts(self, column: int) -> list[str]:
        """Return a column's values, stripped; empty ones where there is no such column."""
        return [str(value).strip() for value in self._values(column, "")]

    def numbers(self, column: int, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, float64 `[rows]`; the records' types see to it that they are."""
        return np.array(self._values(column, 0.0), dtype=np.float64)

    def place(self, row: int) -> str:
        """Name a row of the block for a message."""
        return f"{self.path}, line {self.lines[row]}"

    def _values(self, column: int, missing: object) -> list[Any]:
        name = self.fields[column]
        return [missing] * len(self.records) if name is None else list(map(attrgetter(name), self.records))


def record_blocks(
    path: Path, records: Iterable[tuple[int, Any]], fields: Sequence[str | None]
) -> Iterator[RecordBlock]:
    """Put records together into blocks."""
    remaining = iter(records)
    while numbered := list(islice(remaining, RECORDS_A_BLOCK)):
        lines, block = zip(*numbered, strict=True)
        yield RecordBlock(path, lines, block, fields)
