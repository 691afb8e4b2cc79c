"""Reader of one plain table: user, item, timestamp and, if there are any, title and rating."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lcrec.dataset import Dataset, Item
from lcrec.errors import DatasetError
from lcrec.importers.csv_table import parse_number, read_columns
from lcrec.importers.imported import Imported, hash_sources, require_file
from lcrec.importers.interactions import Columns, to_sequences
from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_title


@dataclass(frozen=True)
class CsvColumns:
    """The header names of the columns; case does not matter.

    Attributes:
        user: the user ids.
        item: the item ids.
        timestamp: a number that grows with time, in any unit.
        title: the items' titles; None reads the column `title` where there is one.
        rating: a number; None reads the column `rating` where there is one.
    """

    user: str = "user"
    item: str = "item"
    timestamp: str = "timestamp"
    title: str | None = None
    rating: str | None = None


def import_csv(
    path: Path,
    *,
    name: str | None = None,
    columns: CsvColumns | None = None,
    min_rating: float | None = None,
    min_interactions: int = 1,
) -> Imported:
    """Read a comma- or tab-separated table.

    Args:
        path: the file; its first line names the columns.
        name: what reports call the dataset; default: the file's name.
        columns: the header names.
        min_rating: interactions rated below are dropped; None keeps all.
        min_interactions: users and items with fewer interactions are dropped, again and again; 1 keeps all.

    Raises:
        DatasetError: the file is missing or damaged, a column is missing, a number is none, or nothing is
            left.
    """
    require_file(path, "CSV")
    repairs = Repairs()
    table, titles = _read(path, columns or CsvColumns(), min_rating, repairs)
    left = to_sequences(table, min_interactions, repairs)
    repairs.add("items_without_interactions", len(table.items.number) - len(left.items))
    items = tuple(
        Item(item_id, "" if titles is None else clean_title(titles.get(item_id, ""), item_id, repairs))
        for item_id in left.items
    )
    dataset = Dataset(name or path.stem, items, left.users, left.sequences)
    return Imported(dataset, repairs.counts(), hash_sources([path]))


def _read(
    path: Path, columns: CsvColumns, min_rating: float | None, repairs: Repairs
) -> tuple[Columns, dict[str, str] | None]:
    """Read the interactions and, where there is such a column, the titles by item id."""
    required = [columns.user, columns.item, columns.timestamp]
    optional = [columns.title or "title", columns.rating or "rating"]
    (has_titles, has_ratings), rows = read_columns(path, required, optional)
    _check_optional(path, columns, has_titles, has_ratings, min_rating)
    table = Columns()
    titles: dict[str, str] = {}
    conflicting: set[str] = set()
    for line, (user_id, item_id, timestamp, title, rating) in rows:
        if not user_id or not item_id:
            raise DatasetError(f"{path}, line {line}: an empty {columns.item if user_id else columns.user}")
        time = parse_number(timestamp, columns.timestamp, path, line)
        if title and titles.setdefault(item_id, title) != title:
            conflicting.add(item_id)
        if min_rating is None or parse_number(rating, optional[1], path, line) >= min_rating:
            table.add(user_id, item_id, time)
        else:
            repairs.add("interactions_below_min_rating")
    repairs.add("conflicting_titles", len(conflicting))
    return table, titles if has_titles else None


def _check_optional(
    path: Path, columns: CsvColumns, has_titles: bool, has_ratings: bool, min_rating: float | None
) -> None:
    """Refuse a column that was asked for by name and is not there, and a rating limit without ratings."""
    for wanted, present in ((columns.title, has_titles), (columns.rating, has_ratings)):
        if wanted is not None and not present:
            raise DatasetError(f"{path}, line 1: no column {wanted!r}")
    if min_rating is not None and not has_ratings:
        raise DatasetError(f"{path}, line 1: --min-rating {min_rating} needs a column with ratings; name it")
