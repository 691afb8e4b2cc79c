"""Tables of items as big as the shop, read for the few that stay: once for which are known, once for their words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from lcrec.dataset import Item
from lcrec.importers.interactions import Bool, Vocabulary
from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_markup, clean_title

LONGEST_TEXT = 2_000
"""Characters of an item's text: what is longer is a page of advertisement, and no embedder reads it."""

_SCRIPT = ("getTime", "aPageStart")


class Metadata(Protocol):
    """One item of a table."""

    @property
    def item_id(self) -> str:
        """What interactions call it; empty where the source has none."""

    @property
    def title(self) -> str | None:
        """Its title as it stands there."""

    def words(self) -> str:
        """Return what else is said of it, markup and all."""


def is_script(title: str | None) -> bool:
    """Tell a title that is a piece of the shop's page ("var aPageStart = (new Date()).getTime();").

    The publishers of Amazon's data say how to know them, and that they do not count.
    """
    return title is not None and any(word in title for word in _SCRIPT)


def find_known(
    records: Iterable[tuple[int, Metadata]], items: Vocabulary, require_titles: bool, repairs: Repairs
) -> Bool:
    """Return which items the table knows, bool `[items]`.

    Args:
        records: the table's rows; those whose title is a script do not count.
        items: the items that occur in interactions, which are all that matter.
        require_titles: items without a title count as unknown too.
        repairs: where the counts go.
    """
    known = np.zeros(len(items), dtype=bool)
    scripts = 0
    for _, record in records:
        number = items.get(record.item_id)
        if number is None:
            continue
        if is_script(record.title):
            scripts += 1
        elif not require_titles or (record.title or "").strip():
            known[number] = True
    repairs.add("metadata_is_script", scripts)
    repairs.add("items_without_metadata", int((~known).sum()))
    return known


def read_items(records: Iterable[tuple[int, Metadata]], item_ids: Sequence[str], repairs: Repairs) -> tuple[Item, ...]:
    """Return the items with title and words, in this order.

    Both are of the first row of each that has a title and is no script, or of the first without one.

    Args:
        records: the table's rows.
        item_ids: the items wanted.
        repairs: where the counts go.
    """
    wanted = set(item_ids)
    found: dict[str, Item] = {}  # titles as they stand in the table
    conflicting: set[str] = set()
    for _, record in records:
        one, title = record.item_id, record.title or ""
        if one not in wanted or is_script(title):
            continue
        if one not in found or (title.strip() and not found[one].title.strip()):
            found[one] = Item(one, title, _cut(clean_markup(record.words(), repairs), repairs))
        elif title.strip() and title != found[one].title:
            conflicting.add(one)
    repairs.add("conflicting_titles", len(conflicting))
    items = (found.get(one, Item(one, "")) for one in item_ids)
    return tuple(Item(o.id, clean_title(clean_markup(o.title, repairs), o.id, repairs), o.text) for o in items)


def _cut(text: str, repairs: Repairs) -> str:
    """Return at most the first words of a text that is too long."""
    if len(text) <= LONGEST_TEXT:
        return text
    repairs.add("long_texts_cut")
    return text[: LONGEST_TEXT + 1].rpartition(" ")[0] or text[:LONGEST_TEXT]
