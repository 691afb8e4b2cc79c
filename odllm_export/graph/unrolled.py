"""The search of form `unrolled`: the passes one after another, for execution providers that cannot run Loop.

Every level is one pass of all beams: nothing is skipped and nothing fed ahead, because what follows a pass is fixed
when the graph is written. The passes share the weights by name; the nodes of the decoder are there once a level.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from odllm_export.families.decoder import Decoder
from odllm_export.graph import cache, trie
from odllm_export.graph.builder import GraphBuilder
from odllm_export.graph.decode import Tokens, decode
from odllm_export.graph.passes import Beams, Search, grow_one_level, sees
from odllm_export.graph.weights import Vocabulary, Weights

_NOBODY = -1


def search_unrolled(
    graph: GraphBuilder,
    decoder: Decoder,
    weights: Weights,
    vocabulary: Vocabulary,
    search: Search,
    ids: str,
    live: str,
    past_cache: str,
) -> dict[str, str]:
    """Add the passes; return the beams' `path`, `score` and `depth`, the `columns`, and the keys and values by name."""
    cached, end = graph.size(past_cache, 3), graph.constant([np.iinfo(np.int64).max])
    count = graph.size(ids, 0)
    keys = graph.range(graph.scalar(count))
    positions = graph.op("Slice", keys, cached, end)
    mask = graph.op("GreaterOrEqual", graph.column(positions), keys)
    tokens = Tokens(graph.op("Slice", ids, cached, end), positions, mask, read=graph.constant([1]))
    labels = root = graph.constant([0], np.int32)
    columns = graph.op("Expand", root, count)
    before = cache.initial(graph, decoder, past_cache)
    past = [(before[k][0], before[v][0]) for k, v in (cache.names(layer) for layer in range(decoder.layers))]
    beams = Beams(graph.constant([[0]], np.int32), graph.constant([0.0], np.float32), graph.constant(0))
    for level in range(search.levels):
        if level:
            tokens, labels = _beams_tokens(graph, beams, columns, count, level, vocabulary.code_offset)
            columns = graph.op("Concat", columns, labels, axis=0)
        values, past = decode(graph, decoder, weights, tokens, past)
        logits = trie.read_logits(graph, values, labels, search.scoring)
        beams = grow_one_level(graph, search, beams, logits, live, vocabulary.code_offset)
    found = {"path": beams.path, "score": beams.score, "depth": beams.depth, "columns": columns}
    for layer, both in enumerate(past):
        found |= dict(zip(cache.names(layer), both, strict=True))
    return found


def _beams_tokens(
    graph: GraphBuilder, beams: Beams, columns: str, prompt_tokens: str, level: int, code_offset: int
) -> tuple[Tokens, str]:
    """Return the token of every beam and the labels of their columns, `[beams]` int32.

    A dead beam may stand at a living one's node: its column is labelled with no node, so that nobody sees it.
    """
    node = beams.node(graph)
    code = graph.op("Cast", graph.op("Gather", "node_code", node), to=TensorProto.INT64)
    labels = graph.op("Where", beams.alive(graph), node, graph.constant(_NOBODY, np.int32))
    position = graph.op("Add", prompt_tokens, graph.constant([level - 1]))  # the first code is right behind the prompt
    read = graph.size(node, 0)
    tokens = Tokens(
        ids=graph.op("Add", code, graph.constant(code_offset)) if code_offset else code,
        positions=graph.op("Expand", position, read),
        mask=sees(graph, beams.path, graph.op("Concat", columns, labels, axis=0)),
        read=read,
    )
    return tokens, labels
