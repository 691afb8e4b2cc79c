"""A comma- or tab-separated table read row by row, refusing damage with its line."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from lcrec.errors import DatasetError


def read_columns(
    path: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> tuple[list[bool], Iterator[tuple[int, list[str]]]]:
    """Open a table whose first line names its columns; the delimiter is a tab if that line has one.

    Returns:
        Which of the optional columns are there, and an iterator over (1-based line, the values of the
        required and then the optional columns, stripped; "" for a column that is not there). Blank lines
        are skipped.

    Raises:
        DatasetError: the file is missing, empty or not UTF-8, a required column is missing, or (while
            iterating) a row has another number of fields than the header.
    """
    rows = _rows(path)
    _, header = next(rows, (0, []))
    if not header:
        raise DatasetError(f"{path} is empty; expected a first line with the columns {', '.join(required)}")
    names = [name.strip().casefold() for name in header]
    places: list[int | None] = [_place(names, name, path) for name in required]
    places += [names.index(name.casefold()) if name.casefold() in names else None for name in optional]
    present = [place is not None for place in places[len(required) :]]
    return present, _pick(rows, places, len(header), path)


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


def _pick(
    rows: Iterator[tuple[int, list[str]]], places: Sequence[int | None], width: int, path: Path
) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) != width:
            raise DatasetError(
                f"{path}, line {line}: {len(row)} fields; the header has {width}. The file may be truncated."
            )
        yield line, ["" if place is None else row[place].strip() for place in places]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (1-based line, fields) of every line that is not blank."""
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if "\t" in file.readline() else ","
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                line = reader.line_num + 1
                if row:
                    yield reader.line_num, row
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}, near line {line}: not UTF-8 text ({error.reason})") from error
    except csv.Error as error:
        raise DatasetError(f"{path}, line {line}: {error}. The file may be truncated.") from error
