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
    "graph-dense-vocab-int8": BundleSpec(DENSE, "vocab", "int8-dynamic"),
    "graph-keep-0.5-codes": BundleSpec(KEEP_HALF, "codes"),
    "graph-keep-0.5-int8": BundleSpec(KEEP_HALF, "codes", "int8-dynamic"),
    "graph-keep-0.5-long": BundleSpec(KEEP_HALF_LONG, "codes"),
}
"""The bundles, by folder name."""


class ForeignSpec(msgspec.Struct, frozen=True):
    """A model that another stack writes for itself.

    Attributes:
        model: folder it is written from.
        stack: of `stacks.STACKS`.
        job: module that writes it, in the stack's environment.
        arguments: of the module, behind the two folders.
    """

    model: str
    stack: str
    job: str
    arguments: tuple[str, ...] = ()


_GGUF_JOB = "mobile_bench.baselines.gguf_job"

FOREIGN_MODELS: dict[str, ForeignSpec] = {
    "optimum-dense": ForeignSpec(DENSE, "optimum", "mobile_bench.baselines.optimum_job"),
    "gguf-dense-f32": ForeignSpec(DENSE, "llama.cpp", _GGUF_JOB, ("f32",)),
    "gguf-dense-f16": ForeignSpec(DENSE, "llama.cpp", _GGUF_JOB, ("f16",)),
    "gguf-dense-q8_0": ForeignSpec(DENSE, "llama.cpp", _GGUF_JOB, ("q8_0",)),
}
"""The models of other stacks, by folder name."""


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
        stack: in whose environment it runs; ours if empty.
    """

    name: str
    kind: str
    folder: str
    scoring: str
    reference: str
    exact: bool = True
    long: bool = False
    stack: str = ""


SGEMM, INTEGER_PRODUCTS, MEMORY = "sgemm", "int8-products", "memory-read"
"""The rows that measure the machine's peaks, in the same run: large matrix products, and reading from memory."""

ROWS: tuple[RowSpec, ...] = (
    RowSpec("transformers-generate", "transformers", DENSE, "vocab", "transformers-generate"),
    RowSpec("optimum", "optimum", "optimum-dense", "vocab", "transformers-generate", stack="optimum"),
    RowSpec("torch-search", "torch", DENSE, "vocab", "transformers-generate"),
    RowSpec("graph-dense-vocab", "bundle", "graph-dense-vocab", "vocab", "transformers-generate"),
    # Our search over llama.cpp's decoder: in single precision it has to repeat the lists.
    RowSpec("llama.cpp-f32", "llama.cpp", "gguf-dense-f32", "vocab", "transformers-generate", stack="llama.cpp"),
    RowSpec("llama.cpp-f16", "llama.cpp", "gguf-dense-f16", "vocab", "transformers-generate", False, stack="llama.cpp"),
    RowSpec("llama.cpp-q8", "llama.cpp", "gguf-dense-q8_0", "vocab", "transformers-generate", False, stack="llama.cpp"),
    RowSpec("graph-dense-vocab-int8", "bundle", "graph-dense-vocab-int8", "vocab", "transformers-generate", False),
    RowSpec("graph-dense-codes", "bundle", "graph-dense-codes", "codes", "torch-dense-codes"),
    RowSpec("graph-keep-0.5-codes", "bundle", "graph-keep-0.5-codes", "codes", "torch-keep-0.5-codes"),
    RowSpec("graph-keep-0.5-int8", "bundle", "graph-keep-0.5-int8", "codes", "torch-keep-0.5-codes", exact=False),
    # The same lists as the row above: what was cached changes nothing.
    RowSpec("graph-keep-0.5-int8-session", "session", "graph-keep-0.5-int8", "codes", "graph-keep-0.5-int8"),
    RowSpec("graph-keep-0.5-long", "bundle", "graph-keep-0.5-long", "codes", "torch-keep-0.5-long", long=True),
    RowSpec(SGEMM, "sgemm", "", "", "", exact=False),
    RowSpec(INTEGER_PRODUCTS, "int8-products", "", "", "", exact=False),
    RowSpec(MEMORY, "memory-read", "", "", "", exact=False),
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
    ("optimum/graph-dense-vocab", "optimum", "graph-dense-vocab"),
    ("llama.cpp-f32/graph-dense-vocab", "llama.cpp-f32", "graph-dense-vocab"),
    ("llama.cpp-f16/graph-dense-vocab", "llama.cpp-f16", "graph-dense-vocab"),
    ("llama.cpp-q8/graph-dense-vocab-int8", "llama.cpp-q8", "graph-dense-vocab-int8"),
    ("torch-search/graph-dense-vocab", "torch-search", "graph-dense-vocab"),
    ("graph-keep-0.5-codes/graph-dense-codes", "graph-keep-0.5-codes", "graph-dense-codes"),
    ("graph-keep-0.5-long/graph-keep-0.5-codes", "graph-keep-0.5-long", "graph-keep-0.5-codes"),
)
"""Name, numerator, denominator."""
