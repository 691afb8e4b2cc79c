"""`--simplify`: the graph through onnxsim, and the proof that its lists are the same."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError

from odllm_export.bundle import GRAPH, Manifest, file_facts, write_manifest
from odllm_export.errors import ExportError
from odllm_export.golden import TOLERANCE, Case, bundle_lists
from odllm_export.runtime import Ranked


def simplify_bundle(folder: Path, manifest: Manifest, cases: Sequence[Case]) -> None:
    """Simplify a bundle's graph in place; its manifest says in `provenance.onnxsim` what became of the nodes.

    Args:
        folder: a bundle that can be opened; the golden lists may still be missing.
        manifest: of the bundle; the graph's hash in it is renewed.
        cases: what is asked before and after.

    Raises:
        ExportError: onnxsim is not installed or cannot treat the graph, or the lists are not the same afterwards.
    """
    before = bundle_lists(folder, cases)
    graph = onnx.load(folder / GRAPH, load_external_data=False)
    simplified = simplify_graph(graph)
    onnx.save(simplified, folder / GRAPH)
    manifest.files.update(file_facts(folder, [GRAPH]))
    (outer, bodies), (outer_after, bodies_after) = _node_counts(graph.graph), _node_counts(simplified.graph)
    manifest.provenance["onnxsim"] = (
        f"{importlib.metadata.version('onnxsim')}: {outer} nodes became {outer_after}, "
        f"{bodies} in bodies of Loop and If became {bodies_after}"
    )
    write_manifest(manifest, folder)
    require_same_lists(before, bundle_lists(folder, cases))


def simplify_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return what onnxsim makes of a graph.

    Tensors in the external data file stand as inputs meanwhile: onnxsim neither reads nor folds them, so a model of any
    size can be treated, half-precision weights stay what they are, and the weights' file does not change.

    Args:
        model: the graph, its external tensors not loaded.

    Raises:
        ExportError: onnxsim is not installed, or cannot treat the graph.
    """
    try:
        import onnxsim
    except ImportError as error:
        raise ExportError(
            "--simplify needs onnxsim, which is not installed: pip install 'odllm[simplify]', or export without it"
        ) from error
    opaque = onnx.ModelProto()
    opaque.CopyFrom(model)
    external = [t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    _keep(opaque.graph.initializer, lambda tensor: tensor.data_location != TensorProto.EXTERNAL)
    opaque.graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in external)
    try:
        simplified, _ = onnxsim.simplify(opaque, include_subgraph=True)
    except (RuntimeError, ValueError, TypeError, ValidationError, InferenceError) as error:
        raise ExportError(f"onnxsim cannot treat this graph: {error}. Export without --simplify.") from error
    del simplified.metadata_props[:]
    simplified.metadata_props.extend(model.metadata_props)
    names = {tensor.name for tensor in external}
    _keep(simplified.graph.input, lambda value: value.name not in names)
    simplified.graph.initializer.extend(external)
    for graph in _graphs(simplified.graph):
        del graph.value_info[:]  # inferred shapes: the runtime infers its own
    return simplified


def require_same_lists(before: Sequence[Ranked], after: Sequence[Ranked]) -> None:
    """Compare lists from before and after a change that must not matter.

    Raises:
        ExportError: another item, or a score further away than `TOLERANCE`.
    """
    for number, ((rows, scores), (new_rows, new_scores)) in enumerate(zip(before, after, strict=True)):
        if not np.array_equal(rows, new_rows):
            raise ExportError(
                f"the simplified graph answers history {number} with item rows {new_rows[:5].tolist()} … instead of "
                f"{rows[:5].tolist()} …; nothing was written. Export without --simplify."
            )
        gap = float(np.abs(scores - new_scores).max(initial=0.0))
        if not gap <= TOLERANCE:
            raise ExportError(
                f"the simplified graph's scores for history {number} are off by {gap:.1e}, at most {TOLERANCE:.0e} is "
                "rounding; nothing was written. Export without --simplify."
            )


def _keep(entries: Any, wanted: Callable[[Any], bool]) -> None:
    """Keep the entries of a protobuf list that are wanted."""
    kept = [entry for entry in entries if wanted(entry)]
    del entries[:]
    entries.extend(kept)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and the bodies inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _node_counts(graph: onnx.GraphProto) -> tuple[int, int]:
    outer, *bodies = (len(one.node) for one in _graphs(graph))
    return outer, sum(bodies)
