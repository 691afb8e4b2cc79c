"""Cold start: items that nobody has used get codes from their text, through the quantizer that coded the old ones.

The items that are there keep their codes, so a model trained on them serves the larger catalogue as it is. What the
larger dataset grew from stands in its `codes.json` (`method.extends`), and `check_codes_of_model` holds a model to it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcrec import dataset_files as files
from lcrec.code_collisions import place_new
from lcrec.dataset import Dataset, load_dataset, save_codes
from lcrec.embeddings.encoder import TextEncoder
from lcrec.embeddings.item_texts import normalized_text
from lcrec.errors import ItemCodesError, QuantizerError
from lcrec.items import Item, ItemCodes
from lcrec.rqvae.quantizer import Quantizer
from odllm_artifact import Progress, sha256_file, silent, write_folder


@dataclass(frozen=True)
class Duplicate:
    """A new item that was left out.

    Attributes:
        id: of the new item.
        of: id of the item that it repeats.
        same: what the two share: `id`, or `text` (title and text without case, marks and spaces).
    """

    id: str
    of: str
    same: str


@dataclass(frozen=True)
class PlacedNewItem:
    """A new item with its codes.

    Attributes:
        item: the item.
        codes: one a level.
        nearest: the codes that its text has; others where an item had those already.
        like: id of an old item that has the most first codes in common.
        like_title: its title.
        in_common: how many first codes those are.
    """

    item: Item
    codes: tuple[int, ...]
    nearest: tuple[int, ...]
    like: str
    like_title: str
    in_common: int


@dataclass(frozen=True)
class Extension:
    """A dataset with new items.

    Attributes:
        dataset: the old items, in their rows and with their codes, and the new ones behind them.
        placed: the new items.
        duplicates: what was left out.
    """

    dataset: Dataset = field(repr=False)
    placed: list[PlacedNewItem]
    duplicates: list[Duplicate]

    def counts(self) -> dict[str, int]:
        """Return how many items there were and are, ready for JSON."""
        return {
            "items_before": len(self.dataset.items) - len(self.placed),
            "added": len(self.placed),
            "items": len(self.dataset.items),
            "same_id": sum(one.same == "id" for one in self.duplicates),
            "same_text": sum(one.same == "text" for one in self.duplicates),
            "given_other_codes": sum(one.codes != one.nearest for one in self.placed),
            "sharing_a_code": len(self.dataset.items) - self.dataset.require_codes().distinct(),
        }


def extend(
    dataset: Dataset,
    new: Sequence[Item],
    quantizer: Quantizer,
    *,
    share: bool = False,
    encoder: TextEncoder | None = None,
    progress: Progress = silent,
) -> Extension:
    """Return the dataset with new items; the old ones stay as they are.

    Args:
        dataset: with the codes that the quantizer made.
        new: items with a title or a text; what repeats another item is left out.
        quantizer: of the dataset.
        share: let a new item share the codes of an old one instead of taking the nearest free ones.
        encoder: of the quantizer; loaded by its name if not given.
        progress: told about embedded texts.

    Raises:
        QuantizerError: the encoder is another one, or the quantizer makes codes of other sizes than the dataset's.
        ModelError: the encoder is not there.
    """
    old = dataset.require_codes()
    kept, duplicates = drop_duplicates(dataset.items, new)
    if not kept:
        return Extension(dataset, [], duplicates)
    codes, nearest = new_codes(quantizer, quantizer.embed(kept, encoder, progress), old, share=share)
    placed = []
    for item, one, near in zip(kept, codes, nearest, strict=True):
        in_common = np.logical_and.accumulate(old.codes == one, axis=1).sum(axis=1)  # [old items]
        row = int(in_common.argmax())
        like, depth = dataset.items[row], int(in_common[row])
        placed.append(PlacedNewItem(item, tuple(one.tolist()), tuple(near.tolist()), like.id, like.title, depth))
    larger = dataclasses.replace(
        dataset, items=(*dataset.items, *kept), codes=ItemCodes(np.concatenate([old.codes, codes]), old.sizes)
    )
    return Extension(larger, placed, duplicates)


def new_codes(
    quantizer: Quantizer, vectors: NDArray[np.float32], known: ItemCodes, *, share: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return int32 `[items, levels]` codes of new items beside known ones, and the nearest codes of their texts.

    Raises:
        QuantizerError: the quantizer makes codes of other sizes than the known ones.
    """
    if quantizer.card.code_sizes != known.sizes:
        raise QuantizerError(
            f"the quantizer makes codes of sizes {quantizer.card.code_sizes}, the items have {known.sizes}; "
            "take the quantizer of the dataset that the model was trained on"
        )
    nearest = quantizer.quantize(vectors)
    if share:
        return nearest.codes, nearest.codes
    # `place_new` counts one width for all levels, as every quantizer made here has it.
    return place_new(nearest, max(known.sizes), known.codes), nearest.codes


def drop_duplicates(known: Sequence[Item], new: Sequence[Item]) -> tuple[list[Item], list[Duplicate]]:
    """Return the new items that repeat neither a known item nor an earlier new one, and those that do."""
    ids = {item.id for item in known}
    of_text = {normalized_text(item): item.id for item in reversed(known)}
    kept, dropped = [], []
    for item in new:
        text = normalized_text(item)
        if item.id in ids:
            dropped.append(Duplicate(item.id, item.id, "id"))
        elif text and text in of_text:
            dropped.append(Duplicate(item.id, of_text[text], "text"))
        else:
            ids.add(item.id)
            of_text.setdefault(text, item.id)
            kept.append(item)
    return kept, dropped


def save_extension(extension: Extension, source: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write the larger dataset's folder: whatever `source` holds, with the new items and all codes.

    Args:
        extension: of the dataset at `source`.
        source: the folder it was read from.
        out: where; another folder.
        overwrite: replace a folder that is there.

    Raises:
        ArtifactError: something is at `out` already, or it cannot be written.
    """
    dataset, codes = extension.dataset, extension.dataset.require_codes()
    header = files.read_header(source / "dataset.json")
    header.counts.items = len(dataset.items)
    before = len(dataset.items) - len(extension.placed)
    method = files.read_codes_method(source / "codes.json")
    state = {
        "codes.json_sha256": sha256_file(source / "codes.json"),
        "items": before,
        "item_codes_sha256": hash_item_codes(dataset.item_ids[:before], codes.codes[:before]),
    }
    method["extends"] = [*method.get("extends", []), state]
    with write_folder(out, overwrite=overwrite) as staging:
        shutil.copytree(source, staging, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.partial", ".*"))
        files.write_header(staging / "dataset.json", header)
        files.write_items(staging / "items.jsonl", dataset.items)
        save_codes(staging, codes, dataset.item_ids, method, codes.statistics())


def hash_item_codes(item_ids: Sequence[str], codes: NDArray[np.int32]) -> str:
    """Return the SHA-256 of a table of ids and codes `[items, levels]` in row order."""
    lines = (f"{item_id} {' '.join(map(str, row))}\n" for item_id, row in zip(item_ids, codes.tolist(), strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_codes_of_model(trained_on: dict[str, str], folder: Path) -> int:
    """Check that a model speaks a dataset's codes: the very ones it was trained on, or those with items added.

    Args:
        trained_on: what the model's `recommender.json` says of its dataset.
        folder: the dataset's.

    Returns:
        Items that were added since the training.

    Raises:
        ItemCodesError: the codes were made anew, or one of the old items' was changed.
    """
    wanted = trained_on.get("codes.json_sha256")
    path = folder / "codes.json"
    if wanted is None or sha256_file(path) == wanted:
        return 0
    states: list[dict[str, Any]] = files.read_codes_method(path).get("extends", [])
    for state in states:
        if state["codes.json_sha256"] == wanted:
            return _check_old_items(load_dataset(folder), state, folder)
    raise ItemCodesError(
        f"{folder} has other item codes than the model was trained with ({trained_on.get('name', 'another dataset')}, "
        "by the hash of codes.json), nor are they those with items added: to the model they are other items. Take the "
        "dataset of the training, add items to that with odllm data add-items, or train again."
    )


def _check_old_items(dataset: Dataset, state: dict[str, Any], folder: Path) -> int:
    before = int(state["items"])
    codes = dataset.require_codes().codes
    if hash_item_codes(dataset.item_ids[:before], codes[:before]) != state["item_codes_sha256"]:
        raise ItemCodesError(
            f"{folder}: one of the first {before:,} items has other codes, or another place, than when the model was "
            "trained. Add the items again: odllm data add-items"
        )
    return len(codes) - before
