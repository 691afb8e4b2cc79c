"""Items and their codes: the two records that every stage after the import speaks about.

An item is known to users and apps by its *id* (a string) and inside the pipeline by its *row* (0-based, the
line of `items.jsonl`). Its *codes* are a short path of small integers, one a level; the model generates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcrec.errors import ItemCodesError

MIN_LEVELS, MAX_LEVELS = 2, 6
"""How many codes an item may have."""

Int32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be recommended.

    Attributes:
        id: what users and apps call it.
        title: what is shown; empty where the source has no titles at all.
        text: further words about it (genres, a description), empty where there are none.
    """

    id: str
    title: str
    text: str = ""


@dataclass(frozen=True, eq=False)
class ItemCodes:
    """The codes of every item of a dataset.

    Attributes:
        codes: int32 `[items, levels]`, level `l` within `0 … sizes[l] - 1`.
        sizes: how many codes each level may use.

    Raises:
        ItemCodesError: levels outside 2 to 6, a size below 1, or a code outside its level.
    """

    codes: Int32 = field(repr=False)
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int32 or self.codes.ndim != 2:
            raise ItemCodesError(
                f"item codes are {self.codes.dtype} {list(self.codes.shape)}; expected int32 [items, levels]"
            )
        if not MIN_LEVELS <= len(self.sizes) <= MAX_LEVELS:
            raise ItemCodesError(f"item codes have {len(self.sizes)} levels; expected {MIN_LEVELS} to {MAX_LEVELS}")
        if self.codes.shape[1] != len(self.sizes):
            raise ItemCodesError(
                f"item codes have {self.codes.shape[1]} columns; expected one for each size in {self.sizes}"
            )
        if min(self.sizes) < 1:
            raise ItemCodesError(f"level sizes {self.sizes} hold a number below 1")
        outside = np.argwhere((self.codes < 0) | (self.codes >= np.asarray(self.sizes)))
        if len(outside):
            row, level = outside[0]
            raise ItemCodesError(
                f"item row {row} has code {self.codes[row, level]} at level {level}; "
                f"expected 0 to {self.sizes[level] - 1}"
            )

    @property
    def levels(self) -> int:
        """Codes an item."""
        return len(self.sizes)

    @property
    def items(self) -> int:
        """Items that have codes."""
        return len(self.codes)

    def distinct(self, depth: int | None = None) -> int:
        """Count the different prefixes of `depth` codes (default: all levels)."""
        return len(np.unique(self.codes[:, :depth], axis=0))

    def collisions(self) -> int:
        """Count the items that do not have a code of their own to spare: items minus different codes."""
        return self.items - self.distinct()

    def collision_groups(self) -> list[NDArray[np.int64]]:
        """Return the rows of each group of items that share one code, each ascending, largest group first."""
        if not self.items:
            return []
        _, inverse, counts = np.unique(self.codes, axis=0, return_inverse=True, return_counts=True)
        rows = np.argsort(inverse.reshape(-1), kind="stable")
        groups = np.split(rows, np.cumsum(counts)[:-1])
        return sorted((group for group in groups if len(group) > 1), key=lambda group: -len(group))

    def statistics(self) -> dict[str, Any]:
        """Return how well the codes are used, ready for JSON.

        `levels` has for each level its `size`, the codes `used`, `perplexity` (2 to the entropy: how many
        codes it is as good as, were they used evenly), the `largest` code's share of the items, and
        `prefixes`: the different paths down to it.
        """
        groups = self.collision_groups()
        return {
            "items": self.items,
            "distinct_codes": self.distinct(),
            "collisions": self.collisions(),
            "items_sharing_a_code": sum(len(group) for group in groups),
            "largest_group": len(groups[0]) if groups else min(self.items, 1),
            "levels": [self._level_statistics(level) for level in range(self.levels)],
        }

    def _level_statistics(self, level: int) -> Mapping[str, float | int]:
        counts = np.bincount(self.codes[:, level], minlength=self.sizes[level])
        share = counts[counts > 0] / max(self.items, 1)
        entropy_bits = float(-(share * np.log2(share)).sum())
        return {
            "size": self.sizes[level],
            "used": int((counts > 0).sum()),
            "entropy_bits": round(abs(entropy_bits), 4),
            "perplexity": round(2**entropy_bits, 2),
            "largest": round(float(share.max(initial=0.0)), 4),
            "prefixes": self.distinct(level + 1),
        }
