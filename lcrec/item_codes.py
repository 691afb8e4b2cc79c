"""Builds item codes: vectors of the items, residual k-means over them, and a code of its own for every item.

The model generates an item code by code, so items that are alike or used together should share the first ones.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from lcrec.code_collisions import resolve_collisions
from lcrec.dataset import Dataset
from lcrec.errors import ItemCodesError
from lcrec.item_vectors import VectorConfig, item_vectors
from lcrec.items import MAX_LEVELS, MIN_LEVELS, ItemCodes
from lcrec.residual_kmeans import Quantization, quantize
from odllm_artifact import Progress, silent

MAX_WIDTH = 65_536
"""Codes a level at most: a code is 16 bits in LC-Rec's tools."""

WIDEST_DEFAULT = 256
"""Codes a level that `default_width` never exceeds."""


@dataclass(frozen=True)
class ItemCodesResult:
    """New item codes and what is known about them.

    Attributes:
        codes: the codes.
        statistics: as `ItemCodes.statistics`, and `collisions_before`, `last_code_changed`, `moved` (what
            resolving the collisions did) and `unexplained` (the share of the vectors' energy that the codes
            leave out, after each level, before collisions were resolved).
        method: how they were made, with every setting.
    """

    codes: ItemCodes
    statistics: dict[str, Any]
    method: dict[str, Any]


def default_width(items: int) -> int:
    """Return the codes a level for a catalogue: the next power of two from √items, within 2 and 256.

    Two levels of √items codes are as many codes as items. Wider levels leave most codes with too few items, and
    their embeddings with too few examples, to be learned: 64 for 2,078 films, 256 for 16,859 games.
    """
    return min(WIDEST_DEFAULT, max(2, 2 ** math.ceil(math.log2(max(items, 1)) / 2)))


def build_item_codes(
    dataset: Dataset,
    levels: int = 4,
    width: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
    vectors: VectorConfig | None = None,
) -> ItemCodesResult:
    """Return codes for every item; the same dataset, options and seed give the same codes.

    Args:
        dataset: only its items and the training part of its sequences are used.
        levels: codes an item, 2 to 6.
        width: codes a level; None: `default_width`.
        seed: of the SVD and the k-means.
        progress: told about finished steps.
        vectors: weights and dimensions of the item vectors.

    Raises:
        ItemCodesError: levels outside 2 to 6, a width outside 2 to 65,536, or a dataset without items.
    """
    vectors = vectors or VectorConfig()
    width = default_width(len(dataset.items)) if width is None else width
    check_shape(dataset, levels, width)
    quantization = _quantize(dataset, levels, width, seed, progress, vectors)
    resolution = resolve_collisions(quantization, width)
    progress(levels + 2, levels + 2)
    codes = ItemCodes(resolution.codes, (width,) * levels)
    statistics = codes.statistics() | {
        "collisions_before": ItemCodes(quantization.codes, codes.sizes).collisions(),
        "last_code_changed": resolution.last_code_changed,
        "moved": resolution.moved,
        "unexplained": [round(share, 4) for share in quantization.error()],
    }
    method = {"name": "residual-kmeans", "levels": levels, "width": width, "seed": seed, **asdict(vectors)}
    return ItemCodesResult(codes, statistics, method)


def _quantize(
    dataset: Dataset, levels: int, width: int, seed: int, progress: Progress, vectors: VectorConfig
) -> Quantization:
    """Make the item vectors and cluster them."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    steps = levels + 2

    def on_level(done: int) -> None:
        progress(1 + done, steps, f"level {done} of {levels}")

    # Threads would add floats up in another order each time: other clusters from the same seed.
    with threadpool_limits(limits=1):
        progress(0, steps, "item vectors")
        points = item_vectors(dataset, vectors, seed)
        progress(1, steps, "clusters")
        return quantize(points, levels, width, seed, on_level)


def check_shape(dataset: Dataset, levels: int, width: int) -> None:
    """Refuse codes that cannot be.

    Raises:
        ItemCodesError: levels outside 2 to 6, a width outside 2 to 65,536, or a dataset without items.
    """
    if not dataset.items:
        raise ItemCodesError(f"dataset {dataset.name} has no items to give codes to")
    if not MIN_LEVELS <= levels <= MAX_LEVELS:
        raise ItemCodesError(f"{levels} levels; item codes have {MIN_LEVELS} to {MAX_LEVELS}")
    if not 2 <= width <= MAX_WIDTH:
        raise ItemCodesError(f"a width of {width}; a level has 2 to {MAX_WIDTH:,} codes")
