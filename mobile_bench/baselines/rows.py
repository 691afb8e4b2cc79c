"""Which rows the benchmark has, and what of the ratios between them is wanted."""

from __future__ import annotations

import msgspec

DENSE, KEEP_HALF, KEEP_HALF_LONG = "model-dense", "model-keep-0.5", "model-keep-0.5-long"


class ModelSpec(msgspec.Struct, frozen=True):
    """A model: how much of its projections is kept, and whether its prompt is the long one."""

    keep_ratio: float
    long: bool = False


MODELS: dict[str, ModelSpec] = {
    DENSE: ModelSpec(1.0),
    KEEP_HALF: ModelSpec(0.5),
    KEEP_HALF_LONG: ModelSpec(0.5, long=True),
}
"""The models, by folder name."""


class BundleSpec(msgspec.Struct, frozen=True):
    """A bundle: model folder, scoring and precision."""

    model: str
    scoring: str
    precision: str = "fp32"


BUNDLES: dict[str, BundleSpec] = {
    "graph-dense-vocab": BundleSpec(DENSE, "vocab"),
    "graph-dense-codes": BundleSpec(DENSE, "codes"),
    "graph-keep-0.5-codes": BundleSpec(KEEP_HALF, "codes"),
    "graph-keep-0.5-int8": BundleSpec(KEEP_HALF, "codes", "int8-dynamic"),
    "graph-keep-0.5-long": BundleSpec(KEEP_HALF_LONG, "codes"),
}
"""The bundles, by folder name."""


class RowSpec(msgspec.Struct, frozen=True):
    """One row.

    Attributes:
        name: in the table.
        kind: of runner.
        folder: model or bundle, by its folder's name.
        scoring: of its search.
        reference: the row whose lists it is compared with; empty if it has none.
        exact: whether it must repeat them; a rounded bundle need not.
        long: whether it is asked with the long prompt.
    """

    name: str
    kind: str
    folder: str
    scoring: str
    reference: str
    exact: bool = True
    long: bool = False


SGEMM = "sgemm"
"""The row that multiplies large float32 matrices: the machine's peak, in the same run."""

ROWS: tuple[RowSpec, ...] = (
    RowSpec("transformers-generate", "transformers", DENSE, "vocab", "transformers-generate"),
    RowSpec("torch-search", "torch", DENSE, "vocab", "transformers-generate"),
    RowSpec("graph-dense-vocab", "bundle", "graph-dense-vocab", "vocab", "transformers-generate"),
    RowSpec("graph-dense-codes", "bundle", "graph-dense-codes", "codes", "torch-dense-codes"),
    RowSpec("graph-keep-0.5-codes", "bundle", "graph-keep-0.5-codes", "codes", "torch-keep-0.5-codes"),
    RowSpec("graph-keep-0.5-int8", "bundle", "graph-keep-0.5-int8", "codes", "torch-keep-0.5-codes", exact=False),
    # The same lists as the row above: what was cached changes nothing.
    RowSpec("graph-keep-0.5-int8-session", "session", "graph-keep-0.5-int8", "codes", "graph-keep-0.5-int8"),
    RowSpec("graph-keep-0.5-long", "bundle", "graph-keep-0.5-long", "codes", "torch-keep-0.5-long", long=True),
    RowSpec(SGEMM, "sgemm", "", "", "", exact=False),
)
"""The timed rows."""

UNTIMED: tuple[RowSpec, ...] = (
    RowSpec("torch-dense-codes", "torch", DENSE, "codes", "torch-dense-codes"),
    RowSpec("torch-keep-0.5-codes", "torch", KEEP_HALF, "codes", "torch-keep-0.5-codes"),
    RowSpec("torch-keep-0.5-long", "torch", KEEP_HALF_LONG, "codes", "torch-keep-0.5-long", long=True),
)
"""Rows that only say which lists are right, where transformers searches another way."""

RATIOS: tuple[tuple[str, str, str], ...] = (
    ("transformers/graph-dense-vocab", "transformers-generate", "graph-dense-vocab"),
    ("transformers/graph-keep-0.5-codes", "transformers-generate", "graph-keep-0.5-codes"),
    ("transformers/graph-keep-0.5-int8", "transformers-generate", "graph-keep-0.5-int8"),
    ("transformers/graph-keep-0.5-int8-session", "transformers-generate", "graph-keep-0.5-int8-session"),
    ("torch-search/graph-dense-vocab", "torch-search", "graph-dense-vocab"),
    ("graph-keep-0.5-codes/graph-dense-codes", "graph-keep-0.5-codes", "graph-dense-codes"),
    ("graph-keep-0.5-long/graph-keep-0.5-codes", "graph-keep-0.5-long", "graph-keep-0.5-codes"),
)
"""Name, numerator, denominator."""
