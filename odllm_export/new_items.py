"""New items for a bundle and the codes they get: given, a known item's, from their text, or of the nearest title.

A model speaks of items by their codes alone. A new item with the codes of a known one is recommended wherever that
one is, and comes back right behind it; with codes of its own it is found as far as the model makes sense of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from lcrec.items import Item, ItemCodes
from lcrec.nearest_titles import nearest_titles
from odllm_export.errors import CatalogEditError
from odllm_export.runtime import Recommender

if TYPE_CHECKING:
    from lcrec.rqvae.quantizer import Quantizer


class NewItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item to add.

    Attributes:
        id: what users and apps call it.
        title: what is shown.
        codes: one a level, if they are known.
        like: id of the item whose codes it gets. Without codes and `like`: by a quantizer, or those of the item with
            the nearest title.
        text: further words, which a quantizer reads beside the title; the bundle does not hold them.
    """

    id: str
    title: str
    codes: tuple[int, ...] | None = None
    like: str | None = None
    text: str = ""


class PlacedItem(msgspec.Struct, frozen=True):
    """A new item with its codes.

    Attributes:
        id: of the new item.
        title: of the new item.
        codes: one a level.
        source: where they came from.
        like: id of the item that had them, if they were not given.
        like_title: its title.
        nearness: cosine of the two titles, 0 to 1, where the title decided.
    """

    id: str
    title: str
    codes: tuple[int, ...]
    source: Literal["given", "like", "quantizer", "nearest title"]
    like: str | None = None
    like_title: str | None = None
    nearness: float | None = None


def read_new_items(path: Path) -> list[NewItem]:
    """Read new items, one JSON object a line: `{"id", "title", "text"?, "codes"?, "like"?}`.

    Raises:
        CatalogEditError: the file cannot be read, or a line is not such an object; the message names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CatalogEditError(f"cannot read {path}: {error.strerror}") from error
    items = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            items.append(msgspec.json.decode(line, type=NewItem))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CatalogEditError(
                f'{path}, line {number}: {error}. A line is {{"id": …, "title": …}} with "codes" or "like" if they '
                "are known."
            ) from error
    return items


def place_items(
    recommender: Recommender, new: Sequence[NewItem], quantizer: Quantizer | None = None
) -> list[PlacedItem]:
    """Give every new item its codes.

    Args:
        recommender: of the bundle.
        new: the items.
        quantizer: gives codes to the items that have neither codes nor `like`, from title and text: the nearest that
            are free. Without one those items get the codes of the item with the nearest title.

    Raises:
        QuantizerError: the quantizer makes codes of other sizes than the bundle's, or its encoder is another one.
        CatalogEditError: no items, an id that is no line of text or is there already, codes that the model does not
            speak, both codes and `like`, or no title that has anything in common.
        HistoryError: an unknown item in `like`.
    """
    if not new:
        raise CatalogEditError("there are no items to add")
    _check_ids(recommender, new)
    quantized = {} if quantizer is None else _quantized(recommender, new, quantizer)
    sources = _sources(recommender, [one for one in new if one.id not in quantized])
    codes = recommender.catalog.codes
    placed = []
    for one in new:
        if one.codes is not None:
            placed.append(PlacedItem(one.id, one.title, _check_codes(recommender, one), "given"))
            continue
        if one.id in quantized:
            placed.append(PlacedItem(one.id, one.title, quantized[one.id], "quantizer"))
            continue
        row, nearness = sources[one.id]
        like = recommender.items[row]
        source: Literal["like", "nearest title"] = "like" if nearness is None else "nearest title"
        placed.append(
            PlacedItem(one.id, one.title, tuple(codes[row].tolist()), source, like["id"], like["title"], nearness)
        )
    return placed


def _sources(recommender: Recommender, new: Sequence[NewItem]) -> dict[str, tuple[int, float | None]]:
    """Return, by id of each new item without codes, the row whose codes it gets and how near the titles are."""
    alike = [one for one in new if one.like is not None]
    rows = recommender.rows_of([str(one.like) for one in alike])
    sources: dict[str, tuple[int, float | None]] = {
        one.id: (int(row), None) for one, row in zip(alike, rows, strict=True)
    }
    titled = [one for one in new if one.like is None and one.codes is None]
    if titled:
        near, cosines = nearest_titles([item["title"] for item in recommender.items], [one.title for one in titled])
        for one, row, cosine in zip(titled, near, cosines, strict=True):
            if cosine <= 0:
                raise CatalogEditError(
                    f"no title of the bundle has anything in common with {one.title!r} of item {one.id!r}: "
                    "give it codes, or name an item it is like"
                )
            sources[one.id] = int(row), float(cosine)
    return sources


def _quantized(recommender: Recommender, new: Sequence[NewItem], quantizer: Quantizer) -> dict[str, tuple[int, ...]]:
    """Return, by id of each new item without codes and without `like`, the nearest free codes of its words."""
    from lcrec.cold_start import new_codes  # with it comes torch, which a bundle does without

    coded = [one for one in new if one.codes is None and one.like is None]
    for one in coded:
        if not one.title.strip() and not one.text.strip():
            raise CatalogEditError(f"item {one.id!r} has no words to tell its codes by: give it a title or a text")
    if not coded:
        return {}
    given = [_check_codes(recommender, one) for one in new if one.codes is not None]
    sizes = recommender.catalog.code_sizes
    taken = np.concatenate([recommender.catalog.codes, np.array(given, np.int32).reshape(-1, len(sizes))])
    _check_quantizer(recommender, quantizer)
    vectors = quantizer.embed([Item(one.id, one.title, one.text) for one in coded])
    codes, _ = new_codes(quantizer, vectors, ItemCodes(taken, sizes), share=False)
    return {one.id: tuple(row) for one, row in zip(coded, codes.tolist(), strict=True)}


def _check_quantizer(recommender: Recommender, quantizer: Quantizer) -> None:
    """Refuse a quantizer that did not make the bundle's codes; a bundle that says nothing of its data takes any."""
    facts = recommender.manifest.provenance
    made_with = facts.get("dataset_quantizer_sha256")
    if made_with is None and "dataset_codes.json_sha256" in facts:
        raise CatalogEditError(
            "the bundle's codes were not made from texts, so no quantizer has any for it: leave out --quantizer, or "
            "give items codes or one they are like"
        )
    if made_with not in (None, quantizer.sha256):
        raise CatalogEditError(
            f"the bundle's codes were made with the quantizer {made_with[:12]}, this is {quantizer.sha256[:12]}; take "
            "the folder quantizer/ of the dataset that the bundle was exported with"
        )


def _check_ids(recommender: Recommender, new: Sequence[NewItem]) -> None:
    known = {item["id"] for item in recommender.items}
    for one in new:
        text = one.id + one.title
        if not one.id or "\n" in one.id or "\r" in one.id or text.encode(errors="ignore").decode() != text:
            raise CatalogEditError(f"{one.id!r} ({one.title!r}) is no item: an id is one line of text, not empty")
        if one.id in known:
            raise CatalogEditError(f"item {one.id!r} is there already; choose another id, or remove it first")
        known.add(one.id)
        if one.codes is not None and one.like is not None:
            raise CatalogEditError(f"item {one.id!r} has codes and an item it is like; give one of the two")


def _check_codes(recommender: Recommender, one: NewItem) -> tuple[int, ...]:
    sizes, codes = recommender.manifest.prompt.code_sizes, one.codes or ()
    if len(codes) != len(sizes) or any(not 0 <= code < size for code, size in zip(codes, sizes, strict=True)):
        raise CatalogEditError(
            f"item {one.id!r} has the codes {list(codes)}; the model speaks {len(sizes)} codes an item, "
            f"each from 0 to {', '.join(str(size - 1) for size in sizes)}"
        )
    return codes
