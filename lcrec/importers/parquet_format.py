"""Reader of one Parquet table: user, item, timestamp and, if there are any, title and rating.

Only the columns that count are read, a batch of rows at a time. Needs pyarrow (`pip install 'odllm[parquet]'`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lcrec.errors import DatasetError
from lcrec.importers.imported import Imported, name_of, require_file
from lcrec.importers.interactions import Limits
from lcrec.importers.table import TableColumns, import_table
from odllm_artifact import Progress, silent

if TYPE_CHECKING:
    import pyarrow

DEFAULT_LIMITS = Limits()

ROWS_A_BATCH = 65_536
"""Rows held at a time; a row group of the file may hold millions."""


def import_parquet(
    path: Path,
    *,
    name: str | None = None,
    columns: TableColumns | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress = silent,
) -> Imported:
    """Read a Parquet file.

    Args:
        path: the file. Ids may be text or whole numbers; timestamps numbers, dates or times.
        name: what reports call the dataset; default: the file's name.
        columns: the columns' names.
        limits: which interactions stay.
        progress: told how many rows are read.

    Raises:
        DatasetError: pyarrow is not installed, the file is missing or damaged, a column is missing or of a type
            that cannot be meant, a value is missing, or nothing is left.
    """
    require_file(path, "Parquet")
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DatasetError("reading Parquet needs pyarrow: pip install 'odllm[parquet]'") from error
    names = columns or TableColumns()
    try:
        with parquet.ParquetFile(path) as file:
            places, present = _find(file.schema_arrow.names, names, path)
            names.check(path, present, limits.min_rating)
            blocks = _read(file, places, path, progress)
            return import_table(path, blocks, names, present[0], name or name_of(path), limits)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{path} is no Parquet file that can be read: {error}") from error


def _find(there: list[str], names: TableColumns, path: Path) -> tuple[list[str | None], list[bool]]:
    """Return the file's own name of each column, and which of the optional ones are there."""
    by_name = {name.casefold(): name for name in there}
    for wanted in names.required:
        if wanted.casefold() not in by_name:
            near = difflib.get_close_matches(wanted.casefold(), by_name, n=1, cutoff=0.4)
            hint = f" Did you mean {by_name[near[0]]!r}?" if near else ""
            raise DatasetError(f"{path}: no column {wanted!r} among {', '.join(there)}.{hint}")
    found = [by_name.get(wanted.casefold()) for wanted in (*names.required, *names.optional)]
    return found, [name is not None for name in found[3:]]


def _read(
    file: pyarrow.parquet.ParquetFile, places: Sequence[str | None], path: Path, progress: Progress
) -> Iterator[ParquetBlock]:
    """Yield the rows in blocks."""
    wanted = [name for name in places if name is not None]
    before = 0
    for batch in file.iter_batches(ROWS_A_BATCH, columns=wanted):
        columns = [None if name is None else batch.column(name) for name in places]
        yield ParquetBlock(path, before, batch.num_rows, columns)
        before += batch.num_rows
        progress(before, max(file.metadata.num_rows, 1), path.name)


@dataclass(frozen=True, eq=False)
class ParquetBlock:
    """Some rows of a Parquet file.

    Attributes:
        path: the file.
        before: rows in front of the block.
        rows: rows in it.
        columns: the columns asked for, in that order; None for an optional one that is not there.
    """

    path: Path
    before: int
    rows: int
    columns: list[pyarrow.Array | None] = field(repr=False)

    def texts(self, column: int) -> list[str]:
        """Return a column's values as text, stripped; empty ones where there is no such column or value."""
        import pyarrow

        values = self.columns[column]
        if values is None:
            return [""] * self.rows
        try:
            return [(text or "").strip() for text in values.cast(pyarrow.string()).to_pylist()]
        except pyarrow.ArrowException as error:
            raise DatasetError(f"{self.path}: column {column + 1} holds {values.type}; expected text") from error

    def numbers(self, column: int, name: str) -> NDArray[np.float64]:
        """Return a column of finite numbers, float64 `[rows]`; dates and times become whole numbers.

        Raises:
            DatasetError: a value is none; the message calls the column `name`.
        """
        import pyarrow

        values = self.columns[column]
        assert values is not None, "a column of numbers is required, or was checked"
        try:
            if pyarrow.types.is_temporal(values.type):
                values = values.cast(pyarrow.int32() if values.type.bit_width == 32 else pyarrow.int64())
            numbers = np.asarray(values.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False))
        except pyarrow.ArrowException as error:
            raise DatasetError(f"{self.path}: {name} holds {values.type}; expected numbers or times") from error
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            found = values[int(wrong[0])].as_py()
            raise DatasetError(f"{self.place(int(wrong[0]))}: {name} is {found!r}; expected a number")
        return numbers

    def place(self, row: int) -> str:
        """Name a row of the block for a message."""
        return f"{self.path}, row {self.before + row + 1}"
