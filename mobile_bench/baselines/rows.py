"""Which rows the benchmark has, and what of the ratios between them is wanted."""

from __future__ import annotations

import msgspec

DENSE, KEEP_HALF = "model-dense", "model-keep-0.5"
KEEP_RATIOS: dict[str, float] = {DENSE: 1.0, KEEP_HALF: 0.5}
"""The models, by folder name, and their keep ratio."""

BUNDLES: dict[str, tuple[str, str]] = {
    "graph-dense-vocab": (DENSE, "vocab"),
    "graph-dense-codes": (DENSE, "codes"),
    "graph-keep-0.5-codes": (KEEP_HALF, "codes"),
}
"""The bundles, by folder name: model and scoring."""


class RowSpec(msgspec.Struct, frozen=True):
    """One row.

    Attributes:
        name: in the table.
        kind: of runner.
        folder: model or bundle, by its folder's name.
        scoring: of its search.
        reference: the row whose lists it must repeat.
    """

    name: str
    kind: str
    folder: str
    scoring: str
    reference: str


ROWS: tuple[RowSpec, ...] = (
    RowSpec("transformers-generate", "transformers", DENSE, "vocab", "transformers-generate"),
    RowSpec("torch-search", "torch", DENSE, "vocab", "transformers-generate"),
    RowSpec("graph-dense-vocab", "bundle", "graph-dense-vocab", "vocab", "transformers-generate"),
    RowSpec("graph-dense-codes", "bundle", "graph-dense-codes", "codes", "torch-dense-codes"),
    RowSpec("graph-keep-0.5-codes", "bundle", "graph-keep-0.5-codes", "codes", "torch-keep-0.5-codes"),
)
"""The timed rows."""

UNTIMED: tuple[RowSpec, ...] = (
    RowSpec("torch-dense-codes", "torch", DENSE, "codes", "torch-dense-codes"),
    RowSpec("torch-keep-0.5-codes", "torch", KEEP_HALF, "codes", "torch-keep-0.5-codes"),
)
"""Rows that only say which lists are right, where transformers searches another way."""

RATIOS: tuple[tuple[str, str, str], ...] = (
    ("transformers/graph-dense-vocab", "transformers-generate", "graph-dense-vocab"),
    ("torch-search/graph-dense-vocab", "torch-search", "graph-dense-vocab"),
    ("graph-keep-0.5-codes/graph-dense-codes", "graph-keep-0.5-codes", "graph-dense-codes"),
)
"""Name, numerator, denominator."""
