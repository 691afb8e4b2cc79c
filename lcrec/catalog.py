"""The catalogue: which item codes exist, as flat arrays that numpy, torch, ONNX and Kotlin can all walk.

A trie over item codes with one number a node. Nodes are numbered breadth first, so that the children of a
node are contiguous and `child_start[node]` to `child_start[node + 1]` is all there is to say about them:

    node 0                    the root
    nodes 1 … n1              depth 1: the first codes that occur, ascending
    …
    the last nodes            depth L, the leaves: one a distinct code
    nodes … nodes + items     the items themselves, children of the leaves; items that share a code
                              are siblings, in row order

Items are the trie's last level, so choosing among items that share a code, and leaving out blocked ones, is
the same operation as choosing among codes. `live_items` counts the items below a node that may be shown; a
node whose count is zero is dead, and a search that never enters dead nodes always ends in enough items.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lcrec.errors import CatalogError
from lcrec.items import MAX_LEVELS, MIN_LEVELS
from lcrec.trie_check import check_trie

MAGIC = b"ODLMCAT\0"
FORMAT_VERSION = 1

_HEADER = struct.Struct("<8sIIII32s")

Int32 = NDArray[np.int32]


@dataclass(frozen=True)
class Catalog:
    """A catalogue's trie and item table.

    Attributes:
        code_sizes: how many codes each level may use, one number a level.
        child_start: `[nodes + 1]` the first child of each node; the last entry is `nodes + items`.
        node_code: `[nodes]` the code row of each node (level offset + code); 0 for the root, unused.
        live_items: `[nodes + items]` how many items at or below the node may be shown.
        item_path: `[items, levels + 1]` the nodes from depth 1 to the item itself, by item row.
        item_order: `[items]` the row of the item at each position, in code order.
        level_width: `[levels + 1]` the most children that a node at each depth has.
        ids_sha256: SHA-256 over the item ids in row order, each followed by a newline: which item table this fits.
    """

    code_sizes: tuple[int, ...]
    child_start: Int32
    node_code: Int32
    live_items: Int32
    item_path: Int32
    item_order: Int32
    level_width: Int32
    ids_sha256: str

    @property
    def levels(self) -> int:
        """Codes an item."""
        return len(self.code_sizes)

    @property
    def items(self) -> int:
        """Rows of the item table, blocked items included."""
        return len(self.item_order)

    @property
    def nodes(self) -> int:
        """Nodes of the trie, the root and the leaves included, the items not."""
        return len(self.node_code)

    @property
    def code_rows(self) -> int:
        """Code tokens over all levels."""
        return sum(self.code_sizes)

    @property
    def level_offsets(self) -> Int32:
        """`[levels]` the code row of each level's code 0."""
        return np.cumsum((0, *self.code_sizes[:-1]), dtype=np.int32)

    @property
    def item_code_rows(self) -> Int32:
        """`[items, levels]` the code rows of every item."""
        return self.node_code[self.item_path[:, : self.levels]]

    @property
    def codes(self) -> Int32:
        """`[items, levels]` the codes of every item, each within its level."""
        return self.item_code_rows - self.level_offsets

    @property
    def shown(self) -> NDArray[np.bool_]:
        """`[items]` by row, whether an item may come back: false for a blocked one."""
        return self.live_items[self.item_path[:, -1]] > 0

    def block(self, rows: NDArray[np.integer] | Sequence[int]) -> Catalog:
        """Return the same catalogue in which the items at `rows` are never shown.

        Raises:
            CatalogError: a row outside the item table.
        """
        return replace(self, live_items=live_items_without(self, np.asarray(rows, dtype=np.int64)))

    def show_only(self, shown: NDArray[np.bool_]) -> Catalog:
        """Return the same catalogue in which exactly the items of the mask `shown [items]`, by row, may come back."""
        live = np.bincount(self.item_path[shown].ravel(), minlength=self.nodes + self.items)
        live[0] = np.count_nonzero(shown)
        return replace(self, live_items=live.astype(np.int32))

    def arrays(self) -> dict[str, Int32]:
        """Return the arrays by name, in the order of the file: the catalogue inputs of the graph."""
        names = ("child_start", "node_code", "live_items", "item_path", "item_order", "level_width")
        return {name: getattr(self, name) for name in names}


def build_catalog(codes: NDArray[np.integer], code_sizes: Sequence[int], item_ids: Sequence[str]) -> Catalog:
    """Build the trie of a catalogue in one vectorised pass.

    Args:
        codes: `[items, levels]` the codes of every item.
        code_sizes: codes a level.
        item_ids: the items' ids in row order.

    Raises:
        CatalogError: no items, too few or too many levels, a code outside its level, ids that do not match.
    """
    codes = np.asarray(codes)
    _check_codes(codes, code_sizes, item_ids)
    items, levels = codes.shape
    order = np.lexsort(codes.T[::-1])  # stable: items that share a code stay in row order
    ordered = codes[order].astype(np.int64)
    differs = np.ones((items, levels), dtype=bool)
    differs[1:] = np.logical_or.accumulate(ordered[1:] != ordered[:-1], axis=1)

    offsets = np.cumsum((0, *code_sizes[:-1]))
    node_code, starts, path, first = [np.zeros(1, np.int64)], [], np.empty((items, levels + 1), np.int64), 1
    for depth in range(levels):
        is_first = differs[:, depth]
        path[:, depth] = first + np.cumsum(is_first) - 1
        node_code.append(offsets[depth] + ordered[is_first, depth])
        parents_first = differs[:, depth - 1] if depth else np.arange(items) == 0
        starts.append(path[parents_first, depth])
        first += int(is_first.sum())
    path[:, levels] = first + np.arange(items)
    starts.append(path[differs[:, -1], levels])
    child_start = np.concatenate([*starts, [first + items]])
    if first + items > np.iinfo(np.int32).max:
        raise CatalogError(f"{items} items make a trie of {first} nodes: more than 32-bit numbers can count")

    by_row = np.empty_like(path)
    by_row[order] = path
    live = np.bincount(path.ravel(), minlength=first + items)
    live[0] = items
    widths = np.diff(child_start)
    depth_of = np.searchsorted(np.cumsum([1] + [len(c) for c in node_code[1:]]), np.arange(first), side="right")
    return Catalog(
        code_sizes=tuple(int(size) for size in code_sizes),
        child_start=child_start.astype(np.int32),
        node_code=np.concatenate(node_code).astype(np.int32),
        live_items=live.astype(np.int32),
        item_path=np.ascontiguousarray(by_row, dtype=np.int32),
        item_order=order.astype(np.int32),
        level_width=np.array([widths[depth_of == d].max() for d in range(levels + 1)], dtype=np.int32),
        ids_sha256=hash_item_ids(item_ids),
    )


def live_items_without(catalog: Catalog, rows: NDArray[np.int64]) -> Int32:
    """Return `live_items` when the items at `rows` are blocked as well (`[nodes + items]`)."""
    rows = np.unique(rows)
    if rows.size and (rows[0] < 0 or rows[-1] >= catalog.items):
        raise CatalogError(f"item row {rows[0] if rows[0] < 0 else rows[-1]} is outside 0 … {catalog.items - 1}")
    rows = rows[catalog.live_items[catalog.item_path[rows, -1]] > 0]  # blocked before: not counted twice
    live = catalog.live_items.copy()
    np.subtract.at(live, catalog.item_path[rows].ravel(), 1)
    live[0] -= len(rows)
    return live


def hash_item_ids(item_ids: Sequence[str]) -> str:
    """Return the SHA-256 that ties a catalogue to its item table."""
    return hashlib.sha256("".join(f"{item}\n" for item in item_ids).encode()).hexdigest()


def write_catalog(catalog: Catalog, path: Path) -> None:
    """Write `catalog.bin`: a header, the code sizes, then the arrays as little-endian int32 (docs/bundle.md)."""
    header = _HEADER.pack(
        MAGIC, FORMAT_VERSION, catalog.levels, catalog.items, catalog.nodes, bytes.fromhex(catalog.ids_sha256)
    )
    with path.open("wb") as file:
        file.write(header)
        file.write(np.asarray(catalog.code_sizes, dtype="<i4").tobytes())
        for array in catalog.arrays().values():
            file.write(np.ascontiguousarray(array, dtype="<i4").tobytes())


def read_catalog(path: Path) -> Catalog:
    """Read `catalog.bin` and check that its arrays form a trie.

    Raises:
        CatalogError: missing, truncated, of another format version, or inconsistent.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise CatalogError(f"cannot read the catalogue {path}: {error.strerror}") from error
    if len(data) < _HEADER.size or data[: len(MAGIC)].tobytes() != MAGIC:
        raise CatalogError(f"{path} is not a catalogue file (it does not begin with {MAGIC!r})")
    _, version, levels, items, nodes, ids_hash = _HEADER.unpack(data[: _HEADER.size].tobytes())
    if version != FORMAT_VERSION:
        raise CatalogError(f"{path} has catalogue format {version}, this version reads {FORMAT_VERSION}: update odllm")
    if not MIN_LEVELS <= levels <= MAX_LEVELS:
        raise CatalogError(f"{path} says {levels} levels; {MIN_LEVELS} to {MAX_LEVELS} are possible: it is damaged")
    lengths = (levels, nodes + 1, nodes, nodes + items, items * (levels + 1), items, levels + 1)
    expected = _HEADER.size + 4 * sum(lengths)
    if len(data) != expected:
        raise CatalogError(f"{path} has {len(data)} bytes, its header asks for {expected}: it is damaged")
    flat = data[_HEADER.size :].view("<i4").astype(np.int32, copy=False)  # the file's bytes, not a second copy
    sizes, child_start, node_code, live, path_, order, width = np.split(flat, np.cumsum(lengths[:-1]))
    catalog = Catalog(
        code_sizes=tuple(int(size) for size in sizes),
        child_start=child_start,
        node_code=node_code,
        live_items=live,
        item_path=path_.reshape(items, levels + 1),
        item_order=order,
        level_width=width,
        ids_sha256=ids_hash.hex(),
    )
    try:
        check_trie(catalog)
    except CatalogError as error:
        raise CatalogError(
            f"the arrays of {path} do not form a trie: {error}. It is damaged; export it again."
        ) from error
    return catalog


def _check_codes(codes: NDArray[np.integer], code_sizes: Sequence[int], item_ids: Sequence[str]) -> None:
    if codes.ndim != 2 or codes.shape[0] == 0:
        raise CatalogError(f"item codes have shape {codes.shape}; [items, levels] with at least one item is needed")
    if not MIN_LEVELS <= codes.shape[1] <= MAX_LEVELS or codes.shape[1] != len(code_sizes):
        raise CatalogError(
            f"item codes have {codes.shape[1]} levels and {len(code_sizes)} code sizes; "
            f"both must be the same number from {MIN_LEVELS} to {MAX_LEVELS}"
        )
    if len(item_ids) != len(codes):
        raise CatalogError(f"{len(codes)} items have codes, but the item table has {len(item_ids)} rows")
    wrong = np.argwhere((codes < 0) | (codes >= np.asarray(code_sizes)))
    if len(wrong):
        row, level = wrong[0]
        raise CatalogError(
            f"item {item_ids[row]!r} has code {codes[row, level]} at level {level}, "
            f"which has the codes 0 … {code_sizes[level] - 1}"
        )
