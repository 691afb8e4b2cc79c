"""The whole recommender as one graph, forms `loop` and `unrolled`: history in, top-k items out.

In `loop` (the default; for the other see graph/unrolled.py) one Loop holds one copy of the decoder blocks. Its first
pass runs what of the prompt is not cached yet (batch 1); every later pass runs the tokens that `passes.next_tokens`
chooses, all behind the prompt, under a boolean mask in which each token sees the prompt and its own ancestors in the
trie. What differs between the passes is data, not nodes:

    pass      tokens                    rows read     mask                              keys and values
    0         S - C of the prompt       1, the last   causal [S - C, S]                 [1, G, S, D]
    1 …       n: beams, children ahead  n             prompt ++ ancestors [n, S + …]    grows by n

Keys and values are only ever appended. `C` tokens come from a cache: the prefix's keys and values, computed at export,
or those that an earlier call returned.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto

from lcrec.prompt import Prompt
from odllm_export.families.decoder import Decoder
from odllm_export.graph import cache, trie
from odllm_export.graph.builder import GraphBuilder, State, WeightFile, value_info
from odllm_export.graph.decode import Tokens, decode
from odllm_export.graph.passes import Beams, Search, grow_beams, next_tokens
from odllm_export.graph.prefix import store_prefix
from odllm_export.graph.storage import storage_for
from odllm_export.graph.unrolled import search_unrolled
from odllm_export.graph.weights import HEAD, Vocabulary, Weights, finish_model, load_weights
from odllm_export.precision import PRECISIONS, Precision
from odllm_export.tensors import ModelTensors


def build_recommender(
    decoder: Decoder,
    tensors: ModelTensors,
    prompt: Prompt,
    search: Search,
    weights_file: WeightFile,
    *,
    precision: Precision = PRECISIONS["fp32"],
    prefix_cache: bool = True,
    form: Literal["loop", "unrolled"] = "loop",
) -> onnx.ModelProto:
    """Build the graph, streaming the weights to `weights_file`.

    Args:
        decoder: the model's shape.
        tensors: the model's weights.
        prompt: layout of the prompt.
        search: how the graph searches.
        weights_file: external data.
        precision: how weights are stored and multiplied.
        prefix_cache: compute the keys and values of the prompt's fixed prefix now, rather than at every call.
        form: one Loop over passes, or the passes one after another (`unrolled`).

    Raises:
        TensorError: a tensor is missing, left over, misshapen or not finite.
    """
    graph = GraphBuilder(weights_file)
    vocabulary = Vocabulary.for_scoring(prompt, search.scoring)
    # The runtime's RotaryEmbedding refuses more rows than its tables have, wherever the rows stand.
    positions = max(prompt.max_tokens, search.most_tokens)
    weights = load_weights(graph, tensors, decoder, vocabulary, storage_for(precision), positions=positions)
    tied_copy = frozenset({HEAD}) if decoder.tied else frozenset()
    tensors.check_all_taken(may_remain=tied_copy)

    prefix = vocabulary.rows(prompt.prefix_ids) if prefix_cache else []
    stored_prefix = store_prefix(graph, decoder, weights, prefix)
    live = trie.live_items(graph)
    ids = trie.prompt_ids(graph, prompt, vocabulary.rows, vocabulary.code_offset)
    past = cache.received(graph, decoder, stored_prefix, ids)
    add_search = _search_loop if form == "loop" else search_unrolled
    found = add_search(graph, decoder, weights, vocabulary, search, ids, live, past)
    node = Beams(found["path"], found["score"], found["depth"]).node(graph)
    items, scores = trie.ranked_items(graph, node, found["score"], search.levels, live, search.num_beams)
    graph.emit(items, "items")
    graph.emit(scores, "scores")
    graph.emit(cache.returned(graph, decoder, found, ids, len(prompt.suffix_ids)), cache.OUTPUT)
    graph.emit(graph.op("Sub", graph.size(found["columns"], 0), graph.size(past, 3)), "tokens_run")
    outputs = [
        value_info("items", TensorProto.INT64, ["found"]),
        value_info("scores", TensorProto.FLOAT, ["found"]),
        value_info(cache.OUTPUT, TensorProto.FLOAT, cache.shape(decoder, "reusable")),
        value_info("tokens_run", TensorProto.INT64, [1]),
    ]
    inputs = [value_info(name, dtype, shape) for name, (dtype, shape) in (trie.INPUTS | cache.inputs(decoder)).items()]
    return finish_model(graph.graph("recommend", inputs, outputs))


def _search_loop(
    graph: GraphBuilder,
    decoder: Decoder,
    weights: Weights,
    vocabulary: Vocabulary,
    search: Search,
    ids: str,
    live: str,
    past: str,
) -> dict[str, str]:
    """Add the Loop over passes; return what it carried to the end."""
    cached = graph.size(past, 3)
    tokens = graph.size(ids, 0)
    keys = graph.range(graph.scalar(tokens))
    end = graph.constant([np.iinfo(np.int64).max])
    positions = graph.op("Slice", keys, cached, end)
    root = graph.constant(0, np.int32)
    one = graph.constant([1])
    state: State = {
        "ids": (graph.op("Slice", ids, cached, end), TensorProto.INT64, ["rows"]),
        "positions": (positions, TensorProto.INT64, ["rows"]),
        "mask": (graph.op("GreaterOrEqual", graph.column(positions), keys), TensorProto.BOOL, ["rows", "keys"]),
        "nodes": (graph.op("Expand", root, graph.size(positions, 0)), TensorProto.INT32, ["rows"]),
        "read": (one, TensorProto.INT64, [1]),
        "columns": (graph.op("Expand", root, cached), TensorProto.INT32, ["columns"]),
        "path": (graph.constant([[0]], np.int32), TensorProto.INT32, ["beams", "depth"]),
        "score": (graph.constant([0.0], np.float32), TensorProto.FLOAT, ["beams"]),
        "depth": (graph.constant(0), TensorProto.INT64, []),
        **cache.initial(graph, decoder, past),
    }
    body = graph.body()
    after = _one_pass(body, decoder, weights, vocabulary, search, live, graph.scalar(tokens))
    go_on = body.op("Less", after["depth"], body.constant(search.levels))
    return graph.loop(graph.constant(search.levels), state, body, go_on, after, iteration="passes")


def _one_pass(
    body: GraphBuilder,
    decoder: Decoder,
    weights: Weights,
    vocabulary: Vocabulary,
    search: Search,
    live: str,
    prompt_tokens: str,
) -> dict[str, str]:
    """Run the tokens through the blocks, grow the beams on what was read, and choose the next tokens."""
    names = [cache.names(index) for index in range(decoder.layers)]
    values, grown = decode(body, decoder, weights, Tokens("ids", "positions", "mask", "read"), names)
    logits = trie.read_logits(body, values, body.last("nodes", "read", axis=0), search.scoring)

    beams = Beams("path", "score", "depth")
    beams = grow_beams(body, search, beams, logits, live, vocabulary.code_offset)
    columns = body.op("Concat", "columns", "nodes", axis=0)
    fed = next_tokens(body, search, beams, live, columns, prompt_tokens, vocabulary.code_offset)
    after = {name: value for both in zip(names, grown, strict=True) for name, value in zip(*both, strict=True)}
    return after | {
        "ids": fed.ids,
        "positions": fed.positions,
        "mask": fed.mask,
        "nodes": fed.nodes,
        "read": body.size(fed.nodes, 0),
        "columns": columns,
        "path": beams.path,
        "score": beams.score,
        "depth": beams.depth,
    }
