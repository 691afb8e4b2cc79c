"""Readers of Amazon's reviews as UCSD publishes them: the dumps of 2018 and of 2023.

2018: ratings without a header (`item,user,rating,timestamp`) or reviews as JSON lines, items in
`meta_CATEGORY.json.gz`. 2023: ratings with a header (`user_id,parent_asin,rating,timestamp`, and perhaps `history`,
which is not needed) or reviews as JSON lines, items in `meta_CATEGORY.jsonl.gz`, times in milliseconds.

What stays is what LC-Rec keeps: a user's item counts once, at its first time; items without metadata go, then users
and items with fewer than five interactions, until there are none.

Source: LC-Rec's data_process/amazon18_data_process.py, read in a public copy (github.com/colorblank/LC-Rec).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from lcrec.errors import DatasetError
from lcrec.importers.csv_table import CsvBlock, open_table
from lcrec.importers.dump import Dump
from lcrec.importers.json_lines import read_json_lines, record_blocks
from lcrec.importers.table import ITEM, USER, Block, TableColumns
from odllm_artifact import Progress

FIELDS = ("user", "item", "time", None, "rating")
"""The records' attributes in the order of a table's columns."""

NAMES_2018 = TableColumns("user", "item", "timestamp", rating="rating")
HEADER_2018 = ("item", "user", "rating", "timestamp")

NAMES_2023 = TableColumns("user_id", "parent_asin", "timestamp", rating="rating")

ASIN_LENGTH = 10
"""Characters of Amazon's item ids; its user ids have more."""


class Review2018(msgspec.Struct, gc=False):
    """A line of a file of reviews of 2018; times in seconds."""

    user: str = msgspec.field(name="reviewerID")
    item: str = msgspec.field(name="asin")
    rating: float = msgspec.field(name="overall")
    time: float = msgspec.field(name="unixReviewTime")


class Review2023(msgspec.Struct, gc=False):
    """A line of a file of reviews of 2023; times in milliseconds.

    The variants of a product (its colours, its sizes) have one parent, and the tables of items know parents only.
    """

    user: str = msgspec.field(name="user_id")
    item: str = msgspec.field(name="parent_asin")
    rating: float
    time: float = msgspec.field(name="timestamp")


class Meta2018(msgspec.Struct, gc=False):
    """A line of `meta_CATEGORY.json.gz`."""

    item_id: str = msgspec.field(name="asin")
    title: str | None = None
    description: list[str] | str | None = None
    brand: str | None = None
    category: list[str] | None = None

    def words(self) -> str:
        """Return description, brand and categories; what follows a piece of the page among these is none."""
        brand = (self.brand or "").strip().removeprefix("by\n").strip()
        return _join(self.description, brand, _before_markup(self.category or []))


class Meta2023(msgspec.Struct, gc=False):
    """A line of `meta_CATEGORY.jsonl.gz`."""

    item_id: str = msgspec.field(name="parent_asin")
    title: str | None = None
    description: list[str] | str | None = None
    store: str | None = None
    categories: list[str] | None = None

    def words(self) -> str:
        """Return description, brand and categories."""
        return _join(self.description, self.store or "", self.categories or [])


def _blocks_2018(path: Path, progress: Progress) -> Iterator[Block]:
    if not _is_table(path):
        yield from record_blocks(path, read_json_lines(path, Review2018, progress), FIELDS)
        return
    item_first: bool | None = None
    with open_table(path, NAMES_2018.required, NAMES_2018.optional, header=HEADER_2018, progress=progress) as table:
        for block in table.blocks:
            item_first = _is_item_first(block) if item_first is None else item_first
            yield block if item_first else _swap(block)


def _blocks_2023(path: Path, progress: Progress) -> Iterator[Block]:
    if not _is_table(path):
        yield from record_blocks(path, read_json_lines(path, Review2023, progress), FIELDS)
        return
    with open_table(path, NAMES_2023.required, NAMES_2023.optional, progress=progress) as table:
        yield from table.blocks


def _meta_2018(path: Path, progress: Progress) -> Iterable[tuple[int, Meta2018]]:
    return read_json_lines(path, Meta2018, progress)


def _meta_2023(path: Path, progress: Progress) -> Iterable[tuple[int, Meta2023]]:
    return read_json_lines(path, Meta2023, progress)


def _is_table(path: Path) -> bool:
    """Tell ratings from reviews by the file's name.

    Raises:
        DatasetError: it has neither's.
    """
    endings = [ending.casefold() for ending in path.suffixes if ending.casefold() != ".gz"]
    if endings and endings[-1] in (".csv", ".json", ".jsonl"):
        return endings[-1] == ".csv"
    raise DatasetError(
        f"{path}: expected a name that ends in .csv (ratings), .json or .jsonl (reviews), or that and .gz"
    )


def _is_item_first(block: CsvBlock) -> bool:
    """Tell whether the first column holds the items: all but users' ids have an ASIN's length."""
    items, users = (set(map(len, block.texts(column))) for column in (ITEM, USER))
    return items == {ASIN_LENGTH} or users != {ASIN_LENGTH}


def _swap(block: CsvBlock) -> CsvBlock:
    """Return the block with users and items exchanged."""
    columns = list(block.columns)
    columns[USER], columns[ITEM] = columns[ITEM], columns[USER]
    return CsvBlock(block.path, block.lines, columns)


def _before_markup(categories: list[str]) -> list[str]:
    """Return the categories up to the first that is a piece of the page."""
    cut = next((place for place, one in enumerate(categories) if "</" in one), len(categories))
    return categories[:cut]


def _join(description: list[str] | str | None, brand: str, categories: list[str]) -> str:
    """Put an item's words together, the description first."""
    paragraphs = [description] if isinstance(description, str) else description or []
    return " ".join([*paragraphs, brand, ", ".join(categories)]).strip()


AMAZON2018 = Dump(_blocks_2018, _meta_2018, NAMES_2018)
"""`CATEGORY.csv` (ratings) or `CATEGORY.json.gz` (reviews), and `meta_CATEGORY.json.gz`. Ratings of 2014, which have
the user first, are known by their ids."""

AMAZON2023 = Dump(_blocks_2023, _meta_2023, NAMES_2023)
"""`CATEGORY.csv` (ratings) or `CATEGORY.jsonl` (reviews), and `meta_CATEGORY.jsonl.gz`."""
