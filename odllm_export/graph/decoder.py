"""The model as a plain causal-LM graph, `decoder` form: tokens and cache in, logits and grown cache out.

Names, types and axes are those that optimum gives its exports, so that `ORTModelForCausalLM` opens the graph, and
with it whatever else speaks that convention. The batch is real, sequences are padded on the left, and the first call
brings an empty cache. Logits are those of every token and of the whole vocabulary.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from odllm_export.family import Decoder
from odllm_export.graph.blocks import Rows, apply_block, load_block, rms_norm
from odllm_export.graph.builder import IR_VERSION, OPSET, GraphBuilder, WeightFile, value_info
from odllm_export.graph.recommender import EMBEDDING, HEAD, NORM
from odllm_export.tensors import ModelTensors

BATCH, NEW, PAST = "batch_size", "sequence_length", "past_sequence_length"
ALL = f"{PAST} + {NEW}"
"""Axis names. Optimum evaluates them as arithmetic when it binds outputs, so they are part of the interface."""


def build_decoder(
    decoder: Decoder, tensors: ModelTensors, max_positions: int, weights_file: WeightFile
) -> onnx.ModelProto:
    """Build the graph, streaming the weights to `weights_file`.

    Inputs: `input_ids` and `position_ids` `[batch, new]`, `attention_mask` `[batch, past + new]`, all int64, and
    `past_key_values.{i}.key` and `.value` `[batch, kv_heads, past, head_size]` float32, `past` 0 in the first call.
    Outputs: `logits` `[batch, new, vocabulary]` float32, `present.{i}.key` and `.value` `[…, past + new, …]`.

    Args:
        decoder: shape.
        tensors: the checkpoint, dense or factored.
        max_positions: rows of the rotary tables; `position_ids` lie below it.
        weights_file: external data.

    Raises:
        TensorError: a tensor is missing, left over, misshapen or not finite.
    """
    graph = GraphBuilder(weights_file)
    table = (decoder.vocabulary, decoder.hidden)
    embedding = graph.weight(EMBEDDING, tensors.take(EMBEDDING, table))
    cosines, sines = decoder.rotary_caches(max_positions)
    rotary = (graph.weight("rotary.cosines", cosines), graph.weight("rotary.sines", sines))

    rows = Rows(positions="position_ids", mask=_visible(graph))
    x = graph.op("Gather", embedding, "input_ids", axis=0)  # [batch, new, hidden]
    present: dict[str, str] = {}
    for index in range(decoder.layers):
        block = load_block(graph, tensors, decoder, index, all_rows=True)
        past = (f"past_key_values.{index}.key", f"past_key_values.{index}.value")
        x, keys, values = apply_block(graph, block, decoder, rotary, x, rows, past)
        present |= {f"present.{index}.key": keys, f"present.{index}.value": values}
    x = rms_norm(graph, x, graph.weight(NORM, tensors.take(NORM, (decoder.hidden,))), decoder)
    head = embedding if decoder.tied else graph.weight(HEAD, tensors.take(HEAD, table))
    tensors.check_all_taken(may_remain=frozenset({HEAD}) if decoder.tied else frozenset())

    for name, value in {"logits": _logits(graph, x, head, decoder), **present}.items():
        graph.nodes.append(helper.make_node("Identity", [value], [name], name=name))
    return helper.make_model(
        graph.graph("decoder", _inputs(decoder), _outputs(decoder)),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="odllm",
    )


def _visible(graph: GraphBuilder) -> str:
    """Return what each new token may see, `[batch, 1, new, past + new]` bool, once for all blocks.

    A padded row would see nothing at all, and a softmax over nothing is not a number: it sees itself.
    """
    new, both = graph.size("input_ids", 1), graph.size("attention_mask", 1)
    keys = graph.range(graph.scalar(both))  # [past + new]
    itself = graph.op("Unsqueeze", graph.last(keys, new, axis=0), graph.constant([1]))  # [new, 1]
    causal = graph.op("LessOrEqual", keys, itself)  # [new, past + new]
    real = graph.op("Cast", graph.op("Unsqueeze", "attention_mask", graph.constant([1, 2])), to=TensorProto.BOOL)
    seen = graph.op("And", real, causal)  # [batch, 1, new, past + new]
    return graph.op("Or", seen, graph.op("Equal", keys, itself))


def _logits(graph: GraphBuilder, x: str, head: str, decoder: Decoder) -> str:
    """Return `[batch, new, vocabulary]`: a Gemm over all rows, because it reads the tied embedding as it lies."""
    rows = graph.op("Reshape", x, graph.constant([-1, decoder.hidden]))
    logits = graph.op("Gemm", rows, head, transB=1)
    shape = graph.op("Concat", graph.op("Shape", "input_ids"), graph.constant([decoder.vocabulary]), axis=0)
    return graph.op("Reshape", logits, shape)


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
