"""What memory a process needs to open and run a bundle: an estimate in named parts, from manifest and catalogue."""

from __future__ import annotations

import msgspec

from lcrec.catalog import Catalog
from odllm_export.bundle import FORM_FILES, ITEMS, WEIGHTS, Manifest
from odllm_export.precision import find_precision

# Fitted to what `odllm bench` measures with onnxruntime 1.31.1 on Linux x86-64: a two-layer model and SmolLM2-135M's
# shape, dense and at half its rank, in fp32, fp16, int8-dynamic and int4-block32: within 4 %. Beside what was fitted
# (other scoring, beams and blocks) up to 25 % too much.
_RUNTIME_BYTES = 64 << 20
"""Python with numpy and the runtime, no model: 52 MiB, and what a session takes whatever it runs."""

_BYTES_A_GRAPH_BYTE = 64
"""What the runtime keeps of the nodes, by the size of the graph's file: about 8 KiB a node."""

_ITEM_OBJECT_BYTES = 400
"""What the Python runtime takes for an item beside its line's own bytes: a dict, two strings, an entry of the index."""

_REPACKED = {"fp32": 1.0, "fp16": 2.0, "int8-dynamic": 1.0, "blocks": 1.2}
"""The repacked copy by the stored bytes: half precision is made float32 first, blocks get their sums beside them."""

_COPIES_IN_STEPS = {"fp32": 2, "fp16": 1 + 2 * 2, "int8-qdq": 2 + 2}
"""Form `steps`: two graphs map the file twice; each makes float32 of half precision, and rewrites int8 on x86."""

_ROW_WIDTHS = 24
"""Widths of the hidden state that a token's row takes at once: an MLP is at most about four times as wide."""


class MemoryEstimate(msgspec.Struct, frozen=True):
    """Bytes by what they are for.

    Attributes:
        runtime: the process without a model.
        graph: what the runtime keeps of the graph's nodes.
        catalog: the catalogue's arrays and the item table.
        weights: as the runtime holds them when it has read them.
        repacked: the copy that repacking makes, while `weights` are still there; 0 where they are not repacked.
        kv_cache: keys and values of prompt and beams, twice: a pass begins with them and makes grown ones.
        activations: the widest rows of the longest pass, its attention scores, logits and their logarithms.
    """

    runtime: int
    graph: int
    catalog: int
    weights: int
    repacked: int
    kv_cache: int
    activations: int

    @property
    def load(self) -> int:
        """The peak while the bundle is opened."""
        return self.runtime + self.graph + self.catalog + self.weights + self.repacked

    @property
    def run(self) -> int:
        """The peak while it answers: what was repacked has taken the place of the weights."""
        weights = self.repacked or self.weights
        return self.runtime + self.graph + self.catalog + weights + self.kv_cache + self.activations

    @property
    def peak(self) -> int:
        """The larger of both."""
        return max(self.load, self.run)


def estimate_memory(manifest: Manifest, catalog: Catalog) -> MemoryEstimate:
    """Return an estimate of a process's memory while it opens and runs a bundle by its ONNX graphs."""
    size = {name: fact.bytes for name, fact in manifest.files.items()}
    prompt, search, stored = manifest.prompt, manifest.search, size[WEIGHTS]
    kind = find_precision(manifest.model.precision).kind
    tokens = prompt.max_tokens + search.num_beams * (prompt.levels - 1) + search.ahead
    layers, two, kv_heads, head_size = manifest.graph.kv_cache
    row = _ROW_WIDTHS * manifest.model.hidden + manifest.model.heads * tokens
    head_rows = prompt.code_rows + (prompt.first_code_token if search.scoring == "vocab" else 0)
    logits = (search.num_beams + search.ahead) * head_rows
    weights, repacked = (2 if kind == "fp16" else 1) * stored, 0
    if manifest.graph.form == "steps":
        weights = _COPIES_IN_STEPS[kind] * stored
    elif manifest.graph.prepack:
        repacked = int(_REPACKED[kind] * stored)
    *graphs, _ = FORM_FILES[manifest.graph.form]
    return MemoryEstimate(
        runtime=_RUNTIME_BYTES,
        graph=_BYTES_A_GRAPH_BYTE * sum(size[name] for name in graphs),
        catalog=catalog_memory_bytes(catalog, size[ITEMS]),
        weights=weights,
        repacked=repacked,
        kv_cache=4 * 2 * layers * two * kv_heads * head_size * tokens,
        activations=4 * (tokens * row + 2 * logits),
    )


def catalog_memory_bytes(catalog: Catalog, table_bytes: int) -> int:
    """Return what an opened catalogue and its item table take of a process's memory, in bytes.

    The arrays are held once and fed to the graph as they are; the graph copies `live_items` to block a call's items.

    Args:
        catalog: the catalogue.
        table_bytes: size of `items.jsonl`.
    """
    arrays = sum(array.nbytes for array in catalog.arrays().values())
    return arrays + catalog.live_items.nbytes + table_bytes + _ITEM_OBJECT_BYTES * catalog.items
