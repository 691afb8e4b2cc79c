"""Reader of one plain table: user, item, timestamp and, if there are any, title and rating."""

from __future__ import annotations

from pathlib import Path

from lcrec.importers.csv_table import open_table
from lcrec.importers.imported import Imported, name_of, require_file
from lcrec.importers.interactions import Limits
from lcrec.importers.table import TableColumns, import_table
from odllm_artifact import Progress, silent

DEFAULT_LIMITS = Limits()


def import_csv(
    path: Path,
    *,
    name: str | None = None,
    columns: TableColumns | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress = silent,
) -> Imported:
    """Read a comma- or tab-separated table, gzip or not.

    Args:
        path: the file; its first line names the columns.
        name: what reports call the dataset; default: the file's name.
        columns: the header names.
        limits: which interactions stay.
        progress: told how much of the file is read.

    Raises:
        DatasetError: the file is missing or damaged, a column is missing, a number is none, or nothing is
            left.
    """
    names = columns or TableColumns()
    with open_table(require_file(path, "CSV"), names.required, names.optional, progress=progress) as table:
        names.check(path, table.present, limits.min_rating)
        return import_table(path, table.blocks, names, table.present[0], name or name_of(path), limits)
