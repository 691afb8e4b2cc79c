"""New items from a table or from lines of JSON: id, title, and a text where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from lcrec.errors import DatasetError
from lcrec.importers.csv_table import open_table
from lcrec.importers.json_lines import read_json_lines
from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_text
from lcrec.items import Item


class _Line(msgspec.Struct):
    """A line of a JSON-lines file; keys beside these are left alone."""

    id: str
    title: str = ""
    text: str = ""


def read_new_items(path: Path) -> list[Item]:
    """Read new items, titles and texts cleaned as an import cleans them.

    Args:
        path: `.jsonl` with `{"id", "title", "text"?}` a line, or a table whose first line names the columns `id`,
            `title` and, if there are texts, `text`; gzip or not.

    Raises:
        DatasetError: it cannot be read, holds no item, or a line has no id, or neither title nor text.
    """
    is_json = Path(path.name.removesuffix(".gz")).suffix in (".jsonl", ".json")
    lines = read_json_lines(path, _Line) if is_json else _table_lines(path)
    items, repairs = [], Repairs()
    for number, line in lines:
        item = Item(line.id, clean_text(line.title, repairs), clean_text(line.text, repairs))
        if not item.id or "\n" in item.id or "\r" in item.id:
            raise DatasetError(f"{path}, line {number}: the id is {item.id!r}; one line of text is needed")
        if not item.title and not item.text:
            raise DatasetError(f"{path}, line {number}: item {item.id!r} has no words, so nothing to tell its codes by")
        items.append(item)
    if not items:
        raise DatasetError(f"{path} holds no items; expected lines with id and title")
    return items


def _table_lines(path: Path) -> Iterator[tuple[int, _Line]]:
    with open_table(path, ["id", "title"], ["text"]) as table:
        for block in table.blocks:
            columns = [block.texts(column) for column in range(3)]
            for number, item_id, title, text in zip(block.lines, *columns, strict=True):
                yield number, _Line(item_id, title, text)
