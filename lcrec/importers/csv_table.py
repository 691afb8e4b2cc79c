"""A comma- or tab-separated table read block by block, refusing damage with its line."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, compress, islice, repeat
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from lcrec.errors import DatasetError
from lcrec.importers.source_file import SourceFile, open_source
from odllm_artifact import Progress, silent

T = TypeVar("T")

ROWS_A_BLOCK = 16_384
"""Rows held at a time."""


@dataclass(frozen=True, eq=False)
class CsvBlock:
    """Some rows of a table, column by column.

    Attributes:
        path: the file.
        lines: the 1-based line of each row.
        columns: the columns asked for, in that order; None for an optional one that is not there.
    """

    path: Path
    lines: Sequence[int] = field(repr=False)
    columns: list[Sequence[str] | None] = field(repr=False)

    def texts(self, column: int) -> list[str]:
        """Return a column's values, stripped; empty ones where there is no such column."""
        values = self.columns[column]
        return [""] * len(self.lines) if values is None else list(map(str.strip, values))

    def numbers(self, column: int, name: str) -> NDArray[np.float64]:
        """Return a column of finite numbers, float64 `[rows]`.

        Raises:
            DatasetError: a value is none; the message calls the column `name`.
        """
        values = self.texts(column)
        try:
            numbers = np.array(list(map(float, values)), dtype=np.float64)
        except ValueError:
            numbers = np.full(len(values), np.nan)
        if not np.isfinite(numbers).all():
            for line, value in zip(self.lines, values, strict=True):
                parse_number(value, name, self.path, line)
        return numbers

    def place(self, row: int) -> str:
        """Name a row of the block for a message."""
        return f"{self.path}, line {self.lines[row]}"


@dataclass(frozen=True)
class CsvTable:
    """An open table.

    Attributes:
        present: which of the optional columns are there.
        blocks: its rows, blank lines skipped.
    """

    present: list[bool]
    blocks: Iterator[CsvBlock]


@contextmanager
def open_table(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    header: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Iterator[CsvTable]:
    """Open a table, gzip or not; the delimiter is a tab if the first line has one.

    Args:
        path: the file.
        required: the columns it must have; case does not matter.
        optional: columns that it may have.
        header: the names of the columns where the file has no line that says so.
        progress: told how much of the file is read.

    Raises:
        DatasetError: the file is missing, empty or not UTF-8, a required column is missing, or (while
            iterating) a row has another number of fields than the header.
    """
    with (
        open_source(path, progress) as source,
        io.TextIOWrapper(source.stream, encoding="utf-8-sig", newline="") as text,
    ):
        rows = _Rows(path, text, source)
        if header is None:
            header = rows.header()
        if header is None:
            raise DatasetError(f"{path} is empty; expected a first line with the columns {', '.join(required)}")
        names = [name.strip().casefold() for name in header]
        places: list[int | None] = [_place(names, name, path) for name in required]
        places += [names.index(name.casefold()) if name.casefold() in names else None for name in optional]
        yield CsvTable([place is not None for place in places[len(required) :]], rows.blocks(places, len(names)))


def parse_number(text: str, column: str, path: Path, line: int) -> float:
    """Return a finite number.

    Raises:
        DatasetError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"{path}, line {line}: {column} is {text!r}; expected a number")
    return number


def _place(names: Sequence[str], wanted: str, path: Path) -> int:
    if wanted.casefold() in names:
        return names.index(wanted.casefold())
    near = difflib.get_close_matches(wanted.casefold(), names, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise DatasetError(f"{path}, line 1: no column {wanted!r} among {', '.join(names)}.{hint}")


class _Rows:
    """The rows of an open table that are not blank.

    Lines without a quotation mark are split a block at a time, which takes a fifth of what the csv module takes; at
    the first one that has a quotation mark that module takes over.
    """

    def __init__(self, path: Path, text: TextIO, source: SourceFile) -> None:
        self.path, self.source, self.line = path, source, 0
        first: list[str] = []
        with self._damage_named():
            while not "".join(first).strip() and (line := text.readline()):
                first.append(line)
        self._delimiter = "\t" if first and "\t" in first[-1] else ","
        self._text = chain(first, text)

    def header(self) -> list[str] | None:
        """Take the first row off; None where there is none."""
        with self._damage_named():
            return next((row for _, row in self._parse(self._text)), None)

    def blocks(self, places: Sequence[int | None], width: int) -> Iterator[CsvBlock]:
        """Yield blocks of the columns at `places`.

        Raises:
            DatasetError: a row has another number of fields than `width`.
        """
        while lines := self._take(self._text):
            if any('"' in line for line in lines):
                yield from self._quoted_blocks(chain(lines, self._text), places, width)
                return
            rows = list(map(str.rstrip, lines, repeat("\r\n")))
            numbers: Sequence[int] = range(self.line + 1, self.line + 1 + len(rows))
            self.line += len(rows)
            if "" in rows:
                numbers = list(compress(numbers, rows))
                rows = list(compress(rows, rows))
            if not rows:
                continue
            delimiters = map(str.count, rows, repeat(self._delimiter))
            self._check(numbers, [count + 1 for count in delimiters], width)
            fields = self._delimiter.join(rows).split(self._delimiter)
            yield self._block(numbers, [None if place is None else fields[place::width] for place in places])

    def _quoted_blocks(self, text: Iterator[str], places: Sequence[int | None], width: int) -> Iterator[CsvBlock]:
        parsed = self._parse(text)
        while numbered := self._take(parsed):
            numbers, rows = zip(*numbered, strict=True)
            self._check(numbers, list(map(len, rows)), width)
            columns = list(zip(*rows, strict=True))
            yield self._block(numbers, [None if place is None else columns[place] for place in places])

    def _block(self, numbers: Sequence[int], columns: list[Sequence[str] | None]) -> CsvBlock:
        self.source.report()
        return CsvBlock(self.path, numbers, columns)

    def _take(self, rows: Iterator[T]) -> list[T]:
        """Take the next rows off, one block of them at most."""
        with self._damage_named():
            return list(islice(rows, ROWS_A_BLOCK))

    def _parse(self, text: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield (1-based line, fields) of every row that is not blank."""
        before = self.line
        reader = csv.reader(text, delimiter=self._delimiter, strict=True)
        for row in reader:
            self.line = before + reader.line_num
            if row:
                yield self.line, row

    def _check(self, numbers: Sequence[int], widths: list[int], width: int) -> None:
        """Refuse rows that are too short or too long."""
        if set(widths) != {width}:
            row, found = next((row, found) for row, found in enumerate(widths) if found != width)
            raise DatasetError(
                f"{self.path}, line {numbers[row]}: {found} fields; expected {width}. The file may be truncated."
            )

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise DatasetError(f"{self.path}, near line {self.line + 1}: not UTF-8 text ({error.reason})") from error
        except csv.Error as error:
            raise DatasetError(f"{self.path}, line {self.line + 1}: {error}. The file may be truncated.") from error
