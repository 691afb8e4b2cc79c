"""The model as a plain causal-LM graph, `decoder` form: tokens and cache in, logits and grown cache out.

Names, types and axes are those that optimum gives its exports, so that `ORTModelForCausalLM` opens the graph, and
with it whatever else speaks that convention. The batch is real, sequences are padded on the left, and the first call
brings an empty cache. Logits are those of every token and of the whole vocabulary.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto

from odllm_export.families.decoder import Decoder
from odllm_export.graph.blocks import Rows, apply_block, rms_norm
from odllm_export.graph.builder import GraphBuilder, WeightFile, value_info
from odllm_export.graph.storage import storage_for
from odllm_export.graph.weights import HEAD, Vocabulary, Weights, finish_model, load_weights
from odllm_export.precision import Precision
from odllm_export.tensors import ModelTensors

BATCH, NEW, PAST = "batch_size", "sequence_length", "past_sequence_length"
ALL = f"{PAST} + {NEW}"
"""Axis names. Optimum evaluates them as arithmetic when it binds outputs, so they are part of the interface."""


def build_decoder(
    decoder: Decoder, tensors: ModelTensors, precision: Precision, max_positions: int, weights_file: WeightFile
) -> onnx.ModelProto:
    """Build the graph, streaming the weights to `weights_file`.

    Inputs: `input_ids` and `position_ids` `[batch, new]`, `attention_mask` `[batch, past + new]`, all int64, and
    `past_key_values.{i}.key` and `.value` `[batch, kv_heads, past, head_size]` float32, `past` 0 in the first call.
    Outputs: `logits` `[batch, new, vocabulary]` float32, `present.{i}.key` and `.value` `[…, past + new, …]`.

    Args:
        decoder: shape.
        tensors: the checkpoint, dense or factored.
        precision: how the weights are stored.
        max_positions: rows of the rotary tables; `position_ids` lie below it.
        weights_file: external data.

    Raises:
        TensorError: a tensor is missing, left over, misshapen or not finite.
    """
    graph, storage = GraphBuilder(weights_file), storage_for(precision)
    everything = Vocabulary((), 0)
    weights = load_weights(graph, tensors, decoder, everything, storage, positions=max_positions, all_rows=True)
    tensors.check_all_taken(may_remain=frozenset({HEAD}) if decoder.tied else frozenset())

    rows = Rows(positions="position_ids", mask=_visible(graph))
    x = storage.lookup(graph, graph.flat("input_ids"), weights.embedding)  # [1, batch · new, hidden]
    x = _batched(graph, x, decoder.hidden)  # [batch, new, hidden]
    for index, block in enumerate(weights.blocks):
        past = (f"past_key_values.{index}.key", f"past_key_values.{index}.value")
        x, keys, values = apply_block(graph, storage, block, decoder, weights.rotary, x, rows, past)
        graph.emit(keys, f"present.{index}.key")
        graph.emit(values, f"present.{index}.value")
    graph.emit(_logits(graph, weights, rms_norm(graph, x, weights.norm, decoder), decoder), "logits")
    return finish_model(graph.graph("decoder", _inputs(decoder), _outputs(decoder)))


def _visible(graph: GraphBuilder) -> str:
    """Return what each new token may see, `[batch, 1, new, past + new]` bool, once for all blocks.

    A padded row would see nothing at all, and a softmax over nothing is not a number: it sees itself.
    """
    new, both = graph.size("input_ids", 1), graph.size("attention_mask", 1)
    keys = graph.range(graph.scalar(both))  # [past + new]
    itself = graph.column(graph.last(keys, new, axis=0))  # [new, 1]
    causal = graph.op("LessOrEqual", keys, itself)  # [new, past + new]
    real = graph.op("Cast", graph.op("Unsqueeze", "attention_mask", graph.constant([1, 2])), to=TensorProto.BOOL)
    seen = graph.op("And", real, causal)  # [batch, 1, new, past + new]
    return graph.op("Or", seen, graph.op("Equal", keys, itself))


def _batched(graph: GraphBuilder, x: str, width: int) -> str:
    """Return `[batch, new, width]` of rows one behind another."""
    return graph.op("Reshape", x, graph.op("Concat", graph.op("Shape", "input_ids"), graph.constant([width]), axis=0))


def _logits(graph: GraphBuilder, weights: Weights, x: str, decoder: Decoder) -> str:
    """Return `[batch, new, vocabulary]`."""
    rows = graph.op("Reshape", x, graph.constant([-1, decoder.hidden]))
    return _batched(graph, weights.storage.project(graph, rows, weights.head), decoder.vocabulary)


def _inputs(decoder: Decoder) -> list[onnx.ValueInfoProto]:
    return [
        value_info("input_ids", TensorProto.INT64, [BATCH, NEW]),
        value_info("attention_mask", TensorProto.INT64, [BATCH, ALL]),
        value_info("position_ids", TensorProto.INT64, [BATCH, NEW]),
        *_cache(decoder, "past_key_values", PAST),
    ]


def _outputs(decoder: Decoder) -> list[onnx.ValueInfoProto]:
    logits = value_info("logits", TensorProto.FLOAT, [BATCH, NEW, decoder.vocabulary])
    return [logits, *_cache(decoder, "present", ALL)]


def _cache(decoder: Decoder, prefix: str, length: str) -> list[onnx.ValueInfoProto]:
    shape: list[str | int | None] = [BATCH, decoder.kv_heads, length, decoder.head_size]
    return [
        value_info(f"{prefix}.{index}.{half}", TensorProto.FLOAT, shape)
        for index in range(decoder.layers)
        for half in ("key", "value")
    ]
