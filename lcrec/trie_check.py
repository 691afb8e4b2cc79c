"""Do a catalogue's arrays form one trie? Asked of every file before a search walks it.

Graphs gather from these arrays without looking: a number that is wrong by one leads outside an array, to an item
that is not the one whose codes were scored, or past items that nobody will ever see. Everything is checked with a
few passes of numpy over whole arrays; a million items take a fraction of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lcrec.errors import CatalogError

if TYPE_CHECKING:
    from lcrec.catalog import Catalog, Int32


def check_trie(catalog: Catalog) -> None:
    """Refuse arrays that do not describe one trie of `levels` levels with every item in its place.

    Raises:
        CatalogError: naming the first array that contradicts the others, and where.
    """
    if catalog.items < 1 or min(catalog.code_sizes) < 1:
        raise CatalogError(f"{catalog.items} items and code sizes {catalog.code_sizes}; both must be at least 1")
    _check_child_start(catalog)
    bounds = _depth_bounds(catalog)
    parent = np.repeat(np.arange(catalog.nodes, dtype=np.int32), np.diff(catalog.child_start))  # of nodes 1, 2, …
    _check_node_code(catalog, bounds, parent)
    _check_items(catalog, parent)
    _check_live_items(catalog)
    widths = np.maximum.reduceat(np.diff(catalog.child_start), bounds)
    _expect("level_width", catalog.level_width, widths, "is the most children of a node at that depth")


def _check_child_start(catalog: Catalog) -> None:
    """Children follow one another without a gap, from node 1 to the last item: no entry is outside then."""
    start = catalog.child_start
    if start[0] != 1 or start[-1] != catalog.nodes + catalog.items:
        raise CatalogError(
            f"child_start goes from {start[0]} to {start[-1]}, not from 1 to {catalog.nodes + catalog.items}"
        )
    _refuse_where("child_start", start[1:] <= start[:-1], start[:-1], "leaves a node without children")


def _depth_bounds(catalog: Catalog) -> NDArray[np.int64]:
    """Return `[levels + 1]` the first node of each depth; the items must come right behind the last one."""
    bounds = [0, 1]
    while len(bounds) <= catalog.levels + 1 and bounds[-1] < catalog.nodes:
        bounds.append(int(catalog.child_start[bounds[-1]]))
    if len(bounds) != catalog.levels + 2 or bounds[-1] != catalog.nodes:
        raise CatalogError(
            f"child_start makes depths that begin at nodes {bounds}; {catalog.levels} levels that end "
            f"at node {catalog.nodes} are needed"
        )
    return np.array(bounds[:-1])


def _check_node_code(catalog: Catalog, bounds: NDArray[np.int64], parent: Int32) -> None:
    """Every node's code is one of its level, and siblings ascend: a code leads to one child at most."""
    code = catalog.node_code
    lowest = np.repeat((0, *catalog.level_offsets), np.diff((*bounds, catalog.nodes)))
    size = np.repeat((1, *catalog.code_sizes), np.diff((*bounds, catalog.nodes)))
    _refuse_where("node_code", (code < lowest) | (code >= lowest + size), code, "is no code of the node's level")
    siblings = parent[1 : catalog.nodes - 1] == parent[: catalog.nodes - 2]
    falls = np.zeros(catalog.nodes, dtype=bool)
    falls[2:] = siblings & (code[2:] <= code[1:-1])
    _refuse_where("node_code", falls, code, "does not lie above the code of the sibling before it")


def _check_items(catalog: Catalog, parent: Int32) -> None:
    """Each position holds one item, siblings stand in row order, and an item's path is the way up from its node."""
    order, items = catalog.item_order, catalog.items
    _refuse_where("item_order", (order < 0) | (order >= items), order, "is no item row")
    seen = np.bincount(order, minlength=items)
    _refuse_where("item_order", seen[order] > 1, order, "names an item that stands elsewhere too")
    leaf = parent[catalog.nodes - 1 :]
    falls = np.zeros(items, dtype=bool)
    falls[1:] = (leaf[1:] == leaf[:-1]) & (order[1:] < order[:-1])
    _refuse_where("item_order", falls, order, "is not in row order among the items of one code")
    node = np.arange(catalog.nodes, catalog.nodes + items, dtype=np.int32)
    for column in reversed(catalog.item_path.T):
        on_path = column[order]
        _refuse_where("item_path", on_path != node, on_path, "is not the node on the way to this item", rows=order)
        node = parent[node - 1]


def _check_live_items(catalog: Catalog) -> None:
    """An item counts 0 or 1, a node as many as its children: by induction never more than lie below it."""
    live = catalog.live_items
    wrong = (live < 0) | (live > 1)
    wrong[: catalog.nodes] = False
    _refuse_where("live_items", wrong, live, "counts one item as neither 0 nor 1")
    below = np.add.reduceat(live[1:], catalog.child_start[:-1] - 1)
    _expect("live_items", live[: catalog.nodes], below, "is the sum over the node's children")


def _refuse_where(name: str, wrong: NDArray[np.bool_], values: Int32, what: str, *, rows: Int32 | None = None) -> None:
    """Raise for the first entry that is wrong; `rows` gives the entries' numbers where they are not their places."""
    if wrong.any():
        at = int(wrong.argmax())
        raise CatalogError(f"{name}[{at if rows is None else rows[at]}] is {values[at]}, which {what}")


def _expect(name: str, found: Int32, expected: Int32, meaning: str) -> None:
    wrong = found != expected
    if wrong.any():
        at = int(wrong.argmax())
        raise CatalogError(f"{name}[{at}] is {found[at]}; {expected[at]} {meaning}")
