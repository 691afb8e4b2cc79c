"""What graph and manifest must say alike: checked when a bundle is opened, as a manifest has no hash of its own.

The graph carries the manifest's account of prompt, search and cache in its metadata. A manifest that says something
else, by damage or because it came from another bundle, would have a session reuse the wrong tokens, or shorten lists.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import onnxruntime

from lcrec.prompt import Prompt
from odllm_export.bundle import GraphFacts, Manifest, SearchFacts
from odllm_export.errors import BundleError

KEY = "odllm.facts"
"""Of the graph's metadata."""

_AGAIN = "Copy the whole bundle again, or export it again."
_LARGEST = 1 << 20

_INPUTS = {
    "history": "tensor(int64)",
    "blocked": "tensor(int64)",
    "kv_cache": "tensor(float)",
    "cached_tokens": "tensor(int64)",
    "return_cache": "tensor(bool)",
    **dict.fromkeys(
        ("child_start", "node_code", "live_items", "item_path", "item_order", "level_width"), "tensor(int32)"
    ),
}
_RESULTS = {"items": "tensor(int64)", "scores": "tensor(float)"}


def shared_facts(prompt: Prompt, search: SearchFacts, graph: GraphFacts) -> str:
    """Return what both say, as JSON."""
    return msgspec.json.encode({"prompt": prompt, "search": search, "graph": graph}).decode()


def empty_cache_shape(manifest: Manifest) -> tuple[int, ...]:
    """Return the shape of the cache that a call without one brings, `[layers, 2, kv_heads, 0, head_size]`.

    Raises:
        BundleError: the manifest's sizes make none.
    """
    sizes = manifest.graph.kv_cache
    if len(sizes) != 4 or not all(0 < size < _LARGEST for size in sizes):
        raise BundleError(f"the manifest of {manifest.name!r} is damaged: its cache has sizes {sizes}. {_AGAIN}")
    return (*sizes[:3], 0, sizes[3])


def check_facts(session: onnxruntime.InferenceSession, manifest: Manifest, path: Path) -> None:
    """Check that a graph is the one that its manifest speaks of.

    Raises:
        BundleError: it was made for something else, or its account is damaged.
    """
    expected = shared_facts(manifest.prompt, manifest.search, manifest.graph)
    try:
        found = session.get_modelmeta().custom_metadata_map.get(KEY)
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is damaged: {error}. {_AGAIN}") from error
    if found != expected:
        raise BundleError(f"{path} was made for another prompt, search or cache than its manifest says. {_AGAIN}")


def check_inputs(session: onnxruntime.InferenceSession, path: Path) -> None:
    """Check that the graph of a whole recommender takes what it will be given and returns what will be read.

    Raises:
        BundleError: it does not, or its names are damaged.
    """
    try:
        found = {one.name: one.type for one in session.get_inputs()}
        results = {one.name: one.type for one in session.get_outputs()}
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is damaged: {error}. {_AGAIN}") from error
    wrong = sorted(name for name in {*_INPUTS, *found} if _INPUTS.get(name) != found.get(name))
    wrong += sorted(name for name in _RESULTS if results.get(name) != _RESULTS[name])
    if wrong:
        raise BundleError(f"{path} has other inputs or outputs than a bundle's graph: {', '.join(wrong)}. {_AGAIN}")
