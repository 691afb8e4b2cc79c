"""Keys and values of the prompt's fixed prefix, computed once at export by the graph's own nodes and stored weights.

Block by block, each a small session over the weights file: no more than one block's weights are in memory, and what is
stored is bit for bit what a call would compute, at any precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from odllm_export.families.decoder import Decoder
from odllm_export.graph import cache
from odllm_export.graph.blocks import Rows, apply_block
from odllm_export.graph.builder import GraphBuilder, value_info
from odllm_export.graph.weights import Weights, finish_model

_DATA_FOLDER = "session.model_external_initializers_file_folder_path"


def store_prefix(graph: GraphBuilder, decoder: Decoder, weights: Weights, rows: Sequence[int]) -> str:
    """Stream the cache of the prefix and return its name.

    Args:
        graph: the outer graph, with all weights streamed.
        decoder: the model's shape.
        weights: of the model.
        rows: embedding rows of the prefix; may be empty.
    """
    shape = tuple(int(size) for size in cache.shape(decoder, len(rows)))  # type: ignore[arg-type]
    stored = np.zeros(shape, np.float32)
    if not rows:
        return graph.constant(stored, np.float32)
    graph.weights.flush()
    (x,) = _run(graph, _embedding(graph, weights, rows), {}, ["x"])
    for index in range(decoder.layers):
        block = _block(graph, decoder, weights, index, len(rows))
        keys, values, x = _run(graph, block, {"x": x}, ["keys", "values", "x_next"])
        stored[index, 0], stored[index, 1] = keys[0], values[0]
    return graph.weight("prefix.kv_cache", stored)


def _embedding(graph: GraphBuilder, weights: Weights, rows: Sequence[int]) -> GraphBuilder:
    part = graph.part()
    part.emit(weights.storage.lookup(part, part.constant(rows), weights.embedding), "x")
    return part


def _block(graph: GraphBuilder, decoder: Decoder, weights: Weights, index: int, tokens: int) -> GraphBuilder:
    part = graph.part()
    positions, all_rows = part.constant([range(tokens)]), part.constant([tokens])
    mask = part.constant(np.tril(np.ones((tokens, tokens), bool)), np.bool_)
    empty = part.constant(np.zeros((1, decoder.kv_heads, 0, decoder.head_size)), np.float32)
    rows = Rows(positions=positions, mask=mask, last=all_rows, last_positions=positions, last_mask=mask)
    results = apply_block(
        part, weights.storage, weights.blocks[index], decoder, weights.rotary, "x", rows, (empty, empty)
    )
    for result, name in zip(results, ("x_next", "keys", "values"), strict=True):
        part.emit(result, name)
    return part


def _run(
    graph: GraphBuilder, part: GraphBuilder, feed: dict[str, NDArray[np.float32]], outputs: Sequence[str]
) -> list[NDArray[np.float32]]:
    """Run nodes by themselves, with what they need of the outer graph around them."""
    nodes, initializers = _needed(graph, [name for node in part.nodes for name in node.input])
    inputs = [value_info(name, TensorProto.FLOAT, value.shape) for name, value in feed.items()]
    model = finish_model(
        helper.make_graph(
            [*nodes, *part.nodes],
            "part",
            inputs,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [*initializers, *part.initializers],
        )
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of every constant that folding leaves unused
    options.add_session_config_entry(_DATA_FOLDER, str(graph.weights.folder))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: list[NDArray[np.float32]] = session.run(list(outputs), feed)
    return results


def _needed(graph: GraphBuilder, names: Iterable[str]) -> tuple[list[Any], list[TensorProto]]:
    """Return the outer graph's nodes and initializers that lead to `names`."""
    made_by = {output: node for node in graph.nodes for output in node.output}
    stored = {tensor.name: tensor for tensor in graph.initializers}
    nodes: list[Any] = []
    initializers: dict[str, TensorProto] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in stored:
            initializers[name] = stored[name]
        elif name in made_by and made_by[name] not in nodes:
            nodes.insert(0, made_by[name])
            waiting.extend(made_by[name].input)
    return nodes, list(initializers.values())
