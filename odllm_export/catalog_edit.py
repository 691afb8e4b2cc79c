"""Changes to the catalogue of an exported bundle: add, remove, block, unblock items. The model is not touched.

The catalogue enters the graph as inputs, so a change is a new `catalog.bin` and item table beside the same graph and
weights, which are linked over byte for byte. Rows belong to one state of the table: what is blocked is carried over
by item. The changed bundle appears whole or not at all.

Before a change the graph must still give the bundle's golden lists on this machine; after it, it computes the new
ones, and `golden.json` says so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.catalog import Catalog, build_catalog, write_catalog
from odllm_artifact import Progress, silent, write_folder, write_json
from odllm_export import bundle
from odllm_export.errors import BundleError, CatalogEditError
from odllm_export.golden_check import golden_difference, read_golden, recompute_golden
from odllm_export.memory_estimate import catalog_memory_bytes
from odllm_export.new_items import NewItem, PlacedItem, place_items
from odllm_export.runtime import Recommender

if TYPE_CHECKING:
    from lcrec.rqvae.quantizer import Quantizer

_OPERATIONS = ("added", "removed", "blocked", "unblocked")
"""What `provenance.catalog_edits` counts, in this order."""


@dataclass(frozen=True)
class CatalogChange:
    """What a change did.

    Attributes:
        folder: the bundle that holds the result.
        counts: items by operation; an item that was blocked before is not blocked again.
        items: rows of the item table now.
        live_items: that may come back.
        golden_cases: lists that the graph computed again; 0 if nothing changed.
        placed: the new items with their codes and where those came from.
    """

    folder: Path
    counts: dict[str, int]
    items: int
    live_items: int
    golden_cases: int
    placed: list[PlacedItem] = field(default_factory=list)


def add_items(
    folder: Path,
    new: Sequence[NewItem],
    *,
    quantizer: Quantizer | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> CatalogChange:
    """Add items at the end of the table.

    Args:
        folder: the bundle.
        new: ids, titles, and codes: given, those of a known item, or else the quantizer's, or without one those of
            the item with the nearest title.
        quantizer: gives codes to items by their words.
        out: where the changed bundle goes; in place if not given.
        overwrite: replace a folder that is at `out`.
        progress: told about finished steps.

    Raises:
        CatalogEditError: an id that is there already, codes that the model does not speak, or no title that is near.
        HistoryError: an unknown item in `like`.
        QuantizerError: the quantizer makes codes of other sizes, or its encoder is another one.
        BundleError: the bundle is damaged, or its graph does not give its golden lists here.
    """
    recommender, old = _open(folder, progress)
    placed = place_items(recommender, new, quantizer)
    new_rows = [bundle.ItemRow(id=one.id, title=one.title) for one in placed]
    items = [*recommender.items, *new_rows]
    codes = np.concatenate([old.codes, np.array([one.codes for one in placed], dtype=np.int32)])
    catalog = build_catalog(codes, old.code_sizes, [item["id"] for item in items])
    catalog = catalog.show_only(np.append(old.shown, np.ones(len(placed), dtype=bool)))
    lines = (json.dumps({"id": one.id, "title": one.title}, ensure_ascii=False) + "\n" for one in placed)
    table = _table(folder) + "".join(lines).encode()
    change = _Change({"added": len(placed)}, catalog, items, table, placed)
    return _write(recommender, folder, change, out, overwrite, progress)


def remove_items(
    folder: Path,
    item_ids: Sequence[str],
    *,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> CatalogChange:
    """Take items out of the table and the trie; rows of later items move up. For the options see `add_items`.

    Raises:
        CatalogEditError: no live item would be left.
        HistoryError: an id that the bundle does not know.
        BundleError: as `add_items`.
    """
    recommender, old = _open(folder, progress)
    kept = np.ones(old.items, dtype=bool)
    kept[recommender.rows_of(item_ids)] = False
    _require_live(old.shown & kept, "removed")
    items = [item for item, keep in zip(recommender.items, kept, strict=True) if keep]
    catalog = build_catalog(old.codes[kept], old.code_sizes, [item["id"] for item in items])
    lines = zip(_table(folder).splitlines(keepends=True), kept, strict=True)
    table = b"".join(line for line, keep in lines if keep)
    change = _Change({"removed": old.items - len(items)}, catalog.show_only(old.shown[kept]), items, table)
    return _write(recommender, folder, change, out, overwrite, progress)


def block_items(
    folder: Path,
    item_ids: Sequence[str],
    *,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> CatalogChange:
    """Keep items from coming back; histories may still hold them. For options and errors see `remove_items`."""
    return _set_shown(folder, item_ids, False, out, overwrite, progress)


def unblock_items(
    folder: Path,
    item_ids: Sequence[str],
    *,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> CatalogChange:
    """Let blocked items come back. For options and errors see `remove_items`."""
    return _set_shown(folder, item_ids, True, out, overwrite, progress)


def _set_shown(
    folder: Path, item_ids: Sequence[str], show: bool, out: Path | None, overwrite: bool, progress: Progress
) -> CatalogChange:
    recommender, old = _open(folder, progress)
    shown = old.shown.copy()
    shown[recommender.rows_of(item_ids)] = show
    _require_live(shown, "blocked")
    counts = {"unblocked" if show else "blocked": int(np.count_nonzero(shown != old.shown))}
    return _write(
        recommender, folder, _Change(counts, old.show_only(shown), recommender.items), out, overwrite, progress
    )


def _require_live(shown: NDArray[np.bool_], what: str) -> None:
    if not shown.any():
        raise CatalogEditError(
            f"no item would be left to recommend if these were {what}; at least one must stay. "
            "Add or unblock others first."
        )


@dataclass(frozen=True)
class _Change:
    """The catalogue as it will be; `table` is the new `items.jsonl`, None where it stays as it is."""

    counts: dict[str, int]
    catalog: Catalog
    items: list[bundle.ItemRow]
    table: bytes | None = None
    placed: list[PlacedItem] = field(default_factory=list)


def _open(folder: Path, progress: Progress) -> tuple[Recommender, Catalog]:
    """Open a bundle, every file checked, and see that its graph is the one that its golden lists speak of."""
    recommender = Recommender.open(folder)
    if bundle.GOLDEN in recommender.manifest.files:
        what = golden_difference(recommender, read_golden(folder))
        if what:
            raise BundleError(
                f"the graph of {folder} does not give its golden lists on this machine ({what}); new lists that it "
                "computed could not be trusted. Change the catalogue where it does, or export the bundle again."
            )
    progress(1, 3, "the graph gives its golden lists")
    return recommender, recommender.catalog


def _table(folder: Path) -> bytes:
    """Return the item table as it is, every line ended: lines may hold more about an item than id and title."""
    table = (folder / bundle.ITEMS).read_bytes()
    return table if table.endswith(b"\n") else table + b"\n"


def _write(
    recommender: Recommender, folder: Path, change: _Change, out: Path | None, overwrite: bool, progress: Progress
) -> CatalogChange:
    """Write the changed bundle beside the old one, then put it in its place; if nothing changed, leave or copy it."""
    progress(2, 3, "catalogue built")
    source, cases = folder.resolve(), 0
    target = source if out is None else out
    if source in target.resolve().parents or target.resolve() in source.parents:
        raise CatalogEditError(f"{out} and the bundle {folder} lie in one another; choose another --out")
    changed = any(change.counts.values())
    if changed or out is not None:
        with write_folder(target, overwrite=overwrite or out is None) as staging:
            if changed:
                cases = _write_changed(recommender, source, staging, change)
            _carry_over(source, staging, os.link if out is None else shutil.copy2)
    progress(3, 3)
    live = int(change.catalog.live_items[0])
    return CatalogChange(target, change.counts, len(change.items), live, cases, change.placed)


def _write_changed(recommender: Recommender, folder: Path, staging: Path, change: _Change) -> int:
    """Write the files that a change concerns, the manifest last; return the number of golden cases."""
    old = recommender.manifest
    edits = _count_edits(old.provenance.get("catalog_edits", ""), change.counts)
    rewritten = [bundle.CATALOG]
    write_catalog(change.catalog, staging / bundle.CATALOG)
    if change.table is not None:
        (staging / bundle.ITEMS).write_bytes(change.table)
        rewritten.append(bundle.ITEMS)
    golden_cases = 0
    if bundle.GOLDEN in old.files:
        changed = Recommender(old, change.catalog, change.items, recommender.inference)
        golden = recompute_golden(changed, read_golden(folder))
        write_json(staging / bundle.GOLDEN, golden)
        golden_cases = len(golden["cases"])
        rewritten.append(bundle.GOLDEN)
    if bundle.MODEL_CARD in old.files:
        card = (folder / bundle.MODEL_CARD).read_text(encoding="utf-8")
        (staging / bundle.MODEL_CARD).write_text(_edit_card(card, len(change.items), edits), encoding="utf-8")
        rewritten.append(bundle.MODEL_CARD)
    files = {**old.files, **bundle.file_facts(staging, rewritten)}
    memory_before = catalog_memory_bytes(recommender.catalog, old.files[bundle.ITEMS].bytes)
    more_memory = catalog_memory_bytes(change.catalog, files[bundle.ITEMS].bytes) - memory_before
    manifest = msgspec.structs.replace(
        old,
        files=files,
        items=len(change.items),
        expected_peak_memory_bytes=old.expected_peak_memory_bytes + more_memory,
        provenance={**old.provenance, "catalog_edits": edits},
    )
    bundle.write_manifest(manifest, staging)
    return golden_cases


def _carry_over(folder: Path, staging: Path, link_or_copy: Callable[[Path, Path], object]) -> None:
    """Put every file that was not written anew into `staging`; a link that the file system refuses becomes a copy."""
    for path in folder.iterdir():
        place = staging / path.name
        if place.exists():
            continue
        if path.is_dir():
            shutil.copytree(path, place)
            continue
        try:
            link_or_copy(path.resolve(), place)
        except OSError:
            shutil.copy2(path, place)


def _count_edits(before: str, counts: Mapping[str, int]) -> str:
    """Return `added 3, removed 1`: what was done to the catalogue since the export, over all changes."""
    total = Counter({word: int(number) for word, number in re.findall(r"(\w+) (\d+)", before)})
    total.update(counts)
    return ", ".join(f"{word} {total[word]}" for word in _OPERATIONS if total[word])


def _edit_card(card: str, items: int, edits: str) -> str:
    """Return MODEL_CARD.md with the new number of items, and a last line that says what happened since the export."""
    card = re.sub(r"^\| items \| [\d,]*\d", f"| items | {items:,}", card, flags=re.MULTILINE)
    card = re.sub(r"^- catalog_edits: .*\n?", "", card, flags=re.MULTILINE).rstrip("\n")
    return f"{card}\n- catalog_edits: `{edits}` since the export, whose figures stand above\n"
