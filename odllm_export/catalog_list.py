"""What a bundle's catalogue holds: items with codes and state, counted and searched. No model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from odllm_export.bundle import check_files, read_manifest
from odllm_export.runtime import read_catalog_and_items


class ListedItem(msgspec.Struct, frozen=True):
    """One item; `codes` one a level, `state` whether it may come back."""

    id: str
    title: str
    codes: tuple[int, ...]
    state: Literal["live", "blocked"]


class Listing(msgspec.Struct, frozen=True):
    """A look at a catalogue.

    Attributes:
        shown: the first matching items, by row.
        matching: items that match, shown or not.
        items: in the table.
        live: that may come back.
        blocked: that may not.
        distinct_codes: items that share a code count once.
    """

    shown: list[ListedItem]
    matching: int
    items: int
    live: int
    blocked: int
    distinct_codes: int


def list_catalog(folder: Path, *, search: str = "", blocked_only: bool = False, limit: int = 20) -> Listing:
    """Return the first `limit` items of a bundle that match, and counts.

    Args:
        folder: the bundle.
        search: text that the id or the title must hold, in any case.
        blocked_only: leave out what may come back.
        limit: most items returned.

    Raises:
        BundleError: the bundle is damaged.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    catalog, items = read_catalog_and_items(folder, manifest)
    shown, text = catalog.shown, search.casefold()
    rows = np.flatnonzero(~shown) if blocked_only else np.arange(catalog.items)
    if text:
        rows = np.array(
            [r for r in rows if text in items[r]["title"].casefold() or text in items[r]["id"].casefold()],
            dtype=np.int64,
        )
    first = rows[:limit]
    listed = [
        ListedItem(items[row]["id"], items[row]["title"], tuple(codes), "live" if shown[row] else "blocked")
        for row, codes in zip(first, catalog.codes[first].tolist(), strict=True)
    ]
    live = int(np.count_nonzero(shown))
    leaves = len(np.unique(catalog.item_path[:, -2]))
    return Listing(listed, len(rows), catalog.items, live, catalog.items - live, leaves)
