"""Form `steps`: the decoder with every shape fixed, in operators that every provider has. One builder, two graphs.

`prefill.onnx` runs a chunk of the prompt and reads the logits of one row, `step.onnx` runs the tokens of all beams and
reads all of them; the search stands outside (odllm_export/steps.py). The weights are those of one file.

    input            shape                                     what
    ids, positions   [1, tokens] int32                         embedding rows, and where they stand
    mask             [1, 1, tokens, columns + tokens] float32  0 where a token sees a column, far below 0 elsewhere
    last             [1] int32                                 prefill only: the row whose logits are read
    keys_i, values_i [1, kv_heads, columns, head_size]         of layer i: the host's buffers
    output
    logits           [1, rows, rows of the head]
    new_keys_i, …    [1, kv_heads, tokens, head_size]          what the host writes into its buffers

Indices are int32: NNAPI gathers by nothing else unless it is constant, and QNN has to cast anything else. Opset 13 is
the first with a scale a channel in DequantizeLinear, and nothing later is needed. No tensor has more than four axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from lcrec.prompt import Prompt
from odllm_export.families.decoder import Decoder
from odllm_export.graph.blocks import Block, apply_linears, cut_queries
from odllm_export.graph.builder import GraphBuilder, WeightFile, value_info
from odllm_export.graph.cache import names
from odllm_export.graph.qdq import embedding_rows
from odllm_export.graph.storage import Storage
from odllm_export.graph.weights import HEAD, Vocabulary, Weights, finish_model, load_weights
from odllm_export.tensors import ModelTensors

OPSET = 13
IR_VERSION = 8
OLDEST_ONNXRUNTIME = "1.19"
"""The oldest that was tried; it is the first with numpy 2."""


@dataclass(frozen=True)
class Sizes:
    """The fixed sizes: `chunk` tokens of the prompt at once, `beams` tokens a step, `columns` of keys before either."""

    chunk: int
    beams: int
    columns: int


def fixed_sizes(prompt: Prompt, num_beams: int, chunk: int) -> Sizes:
    """Return the sizes for a prompt: columns for the longest one and for all steps but the last."""
    longest = prompt.length(prompt.max_items)
    return Sizes(min(chunk, longest), num_beams, longest + num_beams * (prompt.levels - 2))


def build_steps(
    decoder: Decoder,
    tensors: ModelTensors,
    prompt: Prompt,
    vocabulary: Vocabulary,
    sizes: Sizes,
    weights_file: WeightFile,
    storage: Storage,
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Build both graphs, streaming the weights to `weights_file` once; return prefill and step.

    Raises:
        TensorError: a tensor is missing, left over, misshapen or not finite.
    """
    graph = GraphBuilder(weights_file)
    weights = load_weights(graph, tensors, decoder, vocabulary, storage, positions=prompt.max_tokens, stacked=False)
    tensors.check_all_taken(may_remain=frozenset({HEAD}) if decoder.tied else frozenset())
    prefill = _Pass(graph.copy(), decoder, weights, sizes.chunk, sizes.columns, reads_one=True)
    step = _Pass(graph, decoder, weights, sizes.beams, sizes.columns, reads_one=False)
    return prefill.build("prefill"), step.build("step")


@dataclass(frozen=True)
class _Seen:
    """What attention needs to know of some rows: cosines and sines `[1, 1, rows, head_size / 2]`, and their mask."""

    cosines: str
    sines: str
    mask: str


@dataclass(frozen=True)
class _Pass:
    """One graph: `tokens` at a time behind `columns` of keys."""

    body: GraphBuilder
    decoder: Decoder
    weights: Weights
    tokens: int
    columns: int
    reads_one: bool

    def build(self, name: str) -> onnx.ModelProto:
        body, decoder = self.body, self.decoder
        tables = [body.op("Gather", table, "positions", axis=0) for table in self.weights.rotary]  # [1, tokens, …]
        cosines, sines = (body.op("Unsqueeze", table, body.constant([1])) for table in tables)
        seen = _Seen(cosines, sines, "mask")
        x = embedding_rows(body, "ids", self.weights.embedding)
        for index, block in enumerate(self.weights.blocks):
            x, *new = self._block(block, x, seen, names(index), reads_one=self.reads_one and block.cut)
            for value, past in zip(new, names(index), strict=True):
                body.emit(value, f"new_{past}")
        rows = 1 if self.reads_one else self.tokens
        flat = self._reshape(self._norm(x, self.weights.norm), rows, decoder.hidden)
        logits = self.weights.storage.project(body, flat, self.weights.head)
        body.emit(self._reshape(logits, 1, rows, self.weights.head.shape[1]), "logits")
        return finish_model(body.graph(name, self._inputs(), self._outputs(rows)), OPSET, IR_VERSION)

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        integers = {"ids": [1, self.tokens], "positions": [1, self.tokens]} | ({"last": [1]} if self.reads_one else {})
        mask = value_info("mask", TensorProto.FLOAT, [1, 1, self.tokens, self.columns + self.tokens])
        inputs = [value_info(name, TensorProto.INT32, shape) for name, shape in integers.items()]
        return [*inputs, mask, *self._keys_and_values("", self.columns)]

    def _outputs(self, rows: int) -> list[onnx.ValueInfoProto]:
        logits = value_info("logits", TensorProto.FLOAT, [1, rows, self.weights.head.shape[1]])
        return [logits, *self._keys_and_values("new_", self.tokens)]

    def _keys_and_values(self, prefix: str, tokens: int) -> list[onnx.ValueInfoProto]:
        shape = [1, self.decoder.kv_heads, tokens, self.decoder.head_size]
        layers = range(self.decoder.layers)
        return [value_info(prefix + name, TensorProto.FLOAT, shape) for layer in layers for name in names(layer)]

    def _block(
        self, block: Block, x: str, seen: _Seen, past: tuple[str, str], *, reads_one: bool
    ) -> tuple[str, str, str]:
        """Return the block's output, and its new keys and values; with `reads_one` only the row `last` goes on."""
        body, decoder, storage = self.body, self.decoder, self.weights.storage
        of_queries, rows = seen, self.tokens
        normed = self._norm(x, block.attention_norm)
        if reads_one:
            queries, keys, values = cut_queries(body, storage, block, normed, self._last)
            x = self._last(x)
            of_queries = _Seen(*(body.op("Gather", v, "last", axis=2) for v in (seen.cosines, seen.sines, seen.mask)))
            rows = 1
        else:
            queries, keys, values = apply_linears(body, storage, [*block.q, *block.kv], normed)
        queries = self._turned(self._heads(queries, rows, decoder.heads, block.q_norm), of_queries)
        keys = self._turned(self._heads(keys, self.tokens, decoder.kv_heads, block.k_norm), seen)
        values = self._heads(values, self.tokens, decoder.kv_heads)
        all_keys, all_values = (
            body.op("Concat", before, new, axis=2) for before, new in zip(past, (keys, values), strict=True)
        )
        attended = self._attention(queries, all_keys, all_values, of_queries.mask, rows)
        (projected,) = apply_linears(body, storage, block.o, attended)
        x = body.op("Add", x, projected)
        gate, up = apply_linears(body, storage, block.gate_up, self._norm(x, block.mlp_norm))
        gate = body.op("Mul", gate, body.op("Sigmoid", gate))
        (down,) = apply_linears(body, storage, block.down, body.op("Mul", gate, up))
        return body.op("Add", x, down), keys, values

    def _last(self, x: str) -> str:
        return self.body.op("Gather", x, "last", axis=1)

    def _norm(self, x: str, weight: str) -> str:
        body = self.body
        mean = body.op("ReduceMean", body.op("Mul", x, x), axes=[-1], keepdims=1)
        root = body.op("Sqrt", body.op("Add", mean, body.constant(self.decoder.norm_eps, np.float32)))
        return body.op("Mul", body.op("Div", x, root), weight)

    def _heads(self, x: str, rows: int, heads: int, norm: str | None = None) -> str:
        """`[1, rows, heads · head_size]` to `[1, heads, rows, head_size]`, normalised head by head if asked."""
        split = self._reshape(x, 1, rows, heads, self.decoder.head_size)
        split = split if norm is None else self._norm(split, norm)
        return self.body.op("Transpose", split, perm=[0, 2, 1, 3])

    def _turned(self, x: str, seen: _Seen) -> str:
        """Return queries or keys `[1, heads, rows, head_size]` with the rotary embedding applied."""
        body, size = self.body, self.decoder.head_size
        axis, middle = body.constant([3]), body.constant([size // 2])
        left = body.op("Slice", x, body.constant([0]), middle, axis)
        right = body.op("Slice", x, middle, body.constant([size]), axis)
        turned_left = body.op("Sub", body.op("Mul", left, seen.cosines), body.op("Mul", right, seen.sines))
        turned_right = body.op("Add", body.op("Mul", right, seen.cosines), body.op("Mul", left, seen.sines))
        return body.op("Concat", turned_left, turned_right, axis=3)

    def _attention(self, queries: str, keys: str, values: str, mask: str, rows: int) -> str:
        """Return `[1, rows, heads · head_size]`; the queries that share a key head stand below each other."""
        body, decoder = self.body, self.decoder
        groups, size, columns = decoder.kv_heads, decoder.head_size, self.columns + self.tokens
        shared = decoder.heads // groups * rows
        scaled = body.op("Mul", queries, body.constant(size**-0.5, np.float32))
        scaled = self._reshape(scaled, 1, groups, shared, size)
        scores = body.op("MatMul", scaled, body.op("Transpose", keys, perm=[0, 1, 3, 2]))
        scores = body.op("Add", self._reshape(scores, 1, decoder.heads, rows, columns), mask)
        shares = self._reshape(body.op("Softmax", scores, axis=3), 1, groups, shared, columns)
        attended = self._reshape(body.op("MatMul", shares, values), 1, decoder.heads, rows, size)
        return self._reshape(body.op("Transpose", attended, perm=[0, 2, 1, 3]), 1, rows, decoder.heads * size)

    def _reshape(self, x: str, *shape: int) -> str:
        return self.body.op("Reshape", x, self.body.constant(shape))
