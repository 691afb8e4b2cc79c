"""The whole recommender as one graph, `loop` form: history in, top-k items out.

One Loop over the code levels holds one copy of the decoder blocks. Its first pass runs the prompt (batch 1) and
every later pass runs `num_beams` tokens, all at one position, under a boolean mask in which each beam sees the
prompt and its own ancestors. What differs between the passes is data, not nodes:

    pass        tokens        rows read     mask                                    keys and values
    0           S prompt      1, the last   causal [S, S]                           [1, G, S, D]
    t = 1 …     B beams       B             prompt ++ ancestors [B, S + t·B]        [1, G, S + t·B, D]

Between passes the mask grows by `Gather(mask of the rows read, parent) ++ identity`: a child sees what its parent
saw, and itself. Keys and values are only ever appended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from lcrec.prompt import Prompt
from lcrec.search import Scoring
from odllm_export.families.decoder import Decoder
from odllm_export.graph import trie
from odllm_export.graph.blocks import Block, Rows, apply_block, load_block, rms_norm
from odllm_export.graph.builder import IR_VERSION, OPSET, GraphBuilder, WeightFile, value_info
from odllm_export.tensors import ModelTensors

State = dict[str, tuple[str, int, list[str | int | None]]]
"""Loop-carried values by name: initial value, element type and shape."""

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
NORM = "model.norm.weight"


@dataclass(frozen=True)
class Vocabulary:
    """Which rows of the embedding and the head the graph keeps.

    Attributes:
        embedding_rows: token ids in the order of the graph's rows; empty if all are kept in place.
        code_offset: row of code row 0.
    """

    embedding_rows: tuple[int, ...]
    code_offset: int

    @classmethod
    def for_scoring(cls, prompt: Prompt, scoring: str) -> Vocabulary:
        """Return the exact cut: `vocab` needs every logit, `codes` only the code tokens and the prompt's words.

        Code tokens come first, so that code rows are rows of the cut head.
        """
        if scoring == "vocab":
            return cls((), prompt.first_code_token)
        codes = range(prompt.first_code_token, prompt.first_code_token + prompt.code_rows)
        words = sorted({*prompt.prefix_ids, *prompt.separator_ids, *prompt.suffix_ids} - set(codes))
        return cls((*codes, *words), 0)

    def rows(self, token_ids: tuple[int, ...]) -> list[int]:
        """Return the rows of token ids."""
        if not self.embedding_rows:
            return list(token_ids)
        row_of = {token: row for row, token in enumerate(self.embedding_rows)}
        return [row_of[token] for token in token_ids]


@dataclass(frozen=True)
class Weights:
    """All weights of the decoder, as graph names."""

    embedding: str
    blocks: list[Block]
    norm: str
    head: str
    rotary: tuple[str, str]


@dataclass(frozen=True)
class Search:
    """How the graph searches: `num_beams`, `scoring` (`vocab` or `codes`) and the catalogue's `levels`."""

    num_beams: int
    scoring: Scoring
    levels: int


def build_recommender(
    decoder: Decoder, tensors: ModelTensors, prompt: Prompt, search: Search, weights_file: WeightFile
) -> onnx.ModelProto:
    """Build the graph, streaming the weights to `weights_file`.

    Raises:
        TensorError: a tensor is missing, left over, misshapen or not finite.
    """
    graph = GraphBuilder(weights_file)
    vocabulary = Vocabulary.for_scoring(prompt, search.scoring)
    weights = _load_weights(graph, tensors, decoder, prompt, vocabulary)
    tied_copy = frozenset({HEAD}) if decoder.tied else frozenset()
    tensors.check_all_taken(may_remain=tied_copy)

    live = trie.live_items(graph)
    ids = trie.prompt_ids(graph, prompt, vocabulary.rows, vocabulary.code_offset)
    node, score = _search_loop(graph, decoder, weights, vocabulary, search, ids, live)
    results = trie.ranked_items(graph, node, score, search.levels, live, search.num_beams)
    for found, name in zip(results, ("items", "scores"), strict=True):
        graph.nodes.append(helper.make_node("Identity", [found], [name], name=name))
    outputs = [
        value_info("items", TensorProto.INT64, ["found"]),
        value_info("scores", TensorProto.FLOAT, ["found"]),
    ]
    inputs = [value_info(name, dtype, shape) for name, (dtype, shape) in trie.INPUTS.items()]
    return helper.make_model(
        graph.graph("recommend", inputs, outputs),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="odllm",
    )


def _load_weights(
    graph: GraphBuilder, tensors: ModelTensors, decoder: Decoder, prompt: Prompt, vocabulary: Vocabulary
) -> Weights:
    def table(name: str) -> str:
        value = tensors.take(name, (decoder.vocabulary, decoder.hidden))
        return graph.weight(name, value[list(vocabulary.embedding_rows)] if vocabulary.embedding_rows else value)

    embedding = table(EMBEDDING)
    cosines, sines = decoder.rotary_caches(prompt.max_tokens)
    return Weights(
        embedding=embedding,
        blocks=[load_block(graph, tensors, decoder, index) for index in range(decoder.layers)],
        norm=graph.weight(NORM, tensors.take(NORM, (decoder.hidden,))),
        head=embedding if decoder.tied else table(HEAD),
        rotary=(graph.weight("rotary.cosines", cosines), graph.weight("rotary.sines", sines)),
    )


def _search_loop(
    graph: GraphBuilder,
    decoder: Decoder,
    weights: Weights,
    vocabulary: Vocabulary,
    search: Search,
    ids: str,
    live: str,
) -> tuple[str, str]:
    """Add the Loop over levels; return the final leaves' nodes and scores."""
    tokens = graph.size(ids, 0)
    positions = graph.range(graph.scalar(tokens))
    causal = graph.op(
        "GreaterOrEqual",
        graph.op("Unsqueeze", positions, graph.constant([1])),
        graph.op("Unsqueeze", positions, graph.constant([0])),
    )
    empty = graph.constant(np.zeros((1, decoder.kv_heads, 0, decoder.head_size)), np.float32)
    state: State = {
        "ids": (ids, TensorProto.INT64, ["tokens"]),
        "positions": (positions, TensorProto.INT64, ["tokens"]),
        "mask": (causal, TensorProto.BOOL, ["tokens", "keys"]),
        "node": (graph.constant([0], np.int32), TensorProto.INT32, ["beams"]),
        "score": (graph.constant([0.0], np.float32), TensorProto.FLOAT, ["beams"]),
    }
    cache_shape: list[str | int | None] = [1, decoder.kv_heads, "past", decoder.head_size]
    for index in range(decoder.layers):
        state[f"keys_{index}"] = (empty, TensorProto.FLOAT, cache_shape)
        state[f"values_{index}"] = (empty, TensorProto.FLOAT, cache_shape)
    body = _loop_body(graph.body(), decoder, weights, vocabulary, search, live, state)
    results = graph.ops(
        "Loop",
        graph.constant(search.levels),
        "",
        *(initial for initial, _, _ in state.values()),
        outputs=len(state),
        body=body,
    )
    names = list(state)
    return results[names.index("node")], results[names.index("score")]


def _loop_body(
    body: GraphBuilder,
    decoder: Decoder,
    weights: Weights,
    vocabulary: Vocabulary,
    search: Search,
    live: str,
    state: State,
) -> onnx.GraphProto:
    """Return one pass: run the tokens through the blocks, grow every beam by one level, feed the next tokens."""
    last = body.size("score", 0)
    rows = Rows(
        positions=body.op("Unsqueeze", "positions", body.constant([0])),
        mask="mask",
        last=last,
        last_positions=body.op("Unsqueeze", body.last("positions", last, axis=0), body.constant([0])),
        last_mask=body.last("mask", last, axis=0),
    )
    x = body.op("Gather", weights.embedding, body.op("Unsqueeze", "ids", body.constant([0])), axis=0)
    after: dict[str, str] = {}
    for index, block in enumerate(weights.blocks):
        past = (f"keys_{index}", f"values_{index}")
        x, after[past[0]], after[past[1]] = apply_block(body, block, decoder, weights.rotary, x, rows, past)
    x = body.op("Squeeze", rms_norm(body, x, weights.norm, decoder), body.constant([0]))  # [last, hidden]
    logits = body.op("Gemm", x, weights.head, transB=1)

    candidates = trie.children(body, "node", "level", live, trie.count_of(body, "node_code"))
    code_score = trie.code_scores(body, candidates, logits, vocabulary.code_offset, search.scoring)
    total = body.op("Add", body.op("Unsqueeze", "score", body.constant([1])), code_score)
    kept = trie.keep_best(body, candidates, total, search.num_beams)
    after |= _next_pass(body, rows, kept, vocabulary)

    inputs = [value_info("level", TensorProto.INT64, []), value_info("go_on", TensorProto.BOOL, [])]
    inputs += [value_info(name, dtype, shape) for name, (_, dtype, shape) in state.items()]
    outputs = [value_info(body.op("Identity", "go_on"), TensorProto.BOOL, [])]
    outputs += [value_info(after[name], dtype, [None] * len(shape)) for name, (_, dtype, shape) in state.items()]
    return body.graph("one_level", inputs, outputs)


def _next_pass(body: GraphBuilder, rows: Rows, kept: trie.Kept, vocabulary: Vocabulary) -> dict[str, str]:
    """Return the next pass's tokens: the kept codes, one position on, each seeing its ancestors and itself."""
    code = body.op("Cast", body.op("Gather", "node_code", kept.node), to=TensorProto.INT64)
    ids = body.op("Add", code, body.constant(vocabulary.code_offset)) if vocabulary.code_offset else code
    position = body.op("Add", body.last("positions", body.constant([1]), axis=0), body.constant([1]))
    beams = body.range(body.scalar(kept.count))
    itself = body.op(
        "Equal",
        body.op("Unsqueeze", beams, body.constant([1])),
        body.op("Unsqueeze", beams, body.constant([0])),
    )
    inherited = body.op("Gather", rows.last_mask, kept.parent, axis=0)
    return {
        "ids": ids,
        "positions": body.op("Expand", position, kept.count),
        "mask": body.op("Concat", inherited, itself, axis=1),
        "node": kept.node,
        "score": kept.score,
    }
