"""What graph and manifest must say alike: checked when a bundle is opened, as a manifest has no hash of its own.

The graph carries the manifest's account of prompt, search and cache in its metadata. A manifest that says something
else, by damage or because it came from another bundle, would have a session reuse the wrong tokens, or shorten lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import onnxruntime

from odllm_export.bundle import Manifest
from odllm_export.errors import BundleError

KEY = "odllm.facts"
"""Of the graph's metadata."""

_AGAIN = "Copy the whole bundle again, or export it again."
_LARGEST = 1 << 20

_CALL = {"history": "tensor(int64)", "blocked": "tensor(int64)"}
_RESULTS = {"items": "tensor(int64)", "scores": "tensor(float)"}


def shared_facts(manifest: Manifest) -> str:
    """Return what both say, as JSON."""
    facts = {"prompt": manifest.prompt, "search": manifest.search, "graph": manifest.graph}
    return msgspec.json.encode(facts).decode()


def empty_cache_shape(manifest: Manifest) -> tuple[int, ...]:
    """Return the shape of the cache that a call without one brings, `[layers, 2, kv_heads, 0, head_size]`.

    Raises:
        BundleError: the manifest's sizes make none.
    """
    sizes = manifest.graph.kv_cache
    if len(sizes) != 4 or not all(0 < size < _LARGEST for size in sizes):
        raise BundleError(f"the manifest of {manifest.name!r} is damaged: its cache has sizes {sizes}. {_AGAIN}")
    return (*sizes[:3], 0, sizes[3])


def check_contract(
    inference: onnxruntime.InferenceSession, fed: Mapping[str, onnxruntime.OrtValue], manifest: Manifest, path: Path
) -> None:
    """Check that a graph is the one that its manifest speaks of and takes what it will be given.

    Args:
        inference: the opened graph.
        fed: inputs that are the same at every call.
        manifest: of the bundle.
        path: of the graph.

    Raises:
        BundleError: it is not.
    """
    expected = _CALL | {name: value.data_type() for name, value in fed.items()}
    found = {one.name: one.type for one in inference.get_inputs()}
    results = {one.name: one.type for one in inference.get_outputs()}
    wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    wrong += sorted(name for name in _RESULTS if results.get(name) != _RESULTS[name])
    if wrong:
        raise BundleError(f"{path} has other inputs or outputs than a bundle's graph: {', '.join(wrong)}. {_AGAIN}")
    # Bundles from before there was such an account have none.
    if inference.get_modelmeta().custom_metadata_map.get(KEY, shared_facts(manifest)) != shared_facts(manifest):
        raise BundleError(f"{path} was made for another prompt, search or cache than its manifest says. {_AGAIN}")
