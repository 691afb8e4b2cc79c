"""Constrained decoding as a piece that goes behind any decoder: logits and trie state in, log-probabilities out.

The state of a row is the trie node of the codes it has written: 0 before the first, a leaf when the item is
complete, and DEAD when no item begins like this or the end token is written. A row whose item is complete, or that
is dead, may write the end token, if there is one, and nothing else. Rows of one batch may stand at different depths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from lcrec.catalog import Catalog
from odllm_export.graph import trie
from odllm_export.graph.builder import GraphBuilder, value_info

OPSET = 18
"""First opset in which the reductions take their axes, and ScatterElements a maximum, as the graph needs them. Its
operators mean the same in every later one (tested), so that it can go behind newer decoders as it is."""

IR_VERSION = 8
DEAD = -1

CATALOG_INPUTS = ("child_start", "node_code", "live_items", "level_width")
"""The arrays of the catalogue that the graphs read, by their names in `lcrec.catalog` and in the graphs."""

BATCH = "batch_size"


@dataclass(frozen=True)
class Rules:
    """What may be written, and how it is scored.

    Attributes:
        first_code_token: token id of code row 0.
        scoring: `vocab` (log-softmax over all logits) or `codes` (over what the row may write next).
        end_token: token id that a complete item is followed by; None if nothing may follow.
    """

    first_code_token: int
    scoring: str
    end_token: int | None = None


def build_processor(catalog: Catalog, rules: Rules, *, embed: bool) -> onnx.ModelProto:
    """Build the processor.

    Inputs: `logits` `[batch, vocabulary]` float32, `state` `[batch]` int32, and without `embed` the catalogue's arrays.
    Outputs: `scores` `[batch, vocabulary]` float32 log-probabilities, minus infinity for tokens that may not be
    written; and the same on the few tokens that may: `candidates` (token ids, int64), `candidate_scores` (float32) and
    `candidate_states` (int32, the state that a row has behind the token), each `[batch, width]`. Columns beyond a
    row's own candidates have the score minus infinity and the state DEAD.

    Args:
        catalog: which items exist.
        rules: what may be written, and how it is scored.
        embed: keep the arrays in the graph instead of taking them as inputs.
    """
    graph = _new_graph()
    inputs = _catalog(graph, catalog, embed)
    found, terminal = _children(graph)
    tokens = _tokens(graph, found, rules)
    score = _log_probabilities(graph, found.legal, tokens, rules)
    state = graph.op("Where", found.legal, found.nodes, graph.constant(DEAD, np.int32))
    if rules.end_token is not None:
        tokens, score, state = _with_end(graph, rules, rules.end_token, terminal, (tokens, score, state))
    nothing = graph.op("Expand", graph.constant(-np.inf, np.float32), graph.op("Shape", "logits"))
    # A column beyond a row's own candidates repeats some token: the maximum keeps the real one's score.
    dense = graph.op("ScatterElements", nothing, tokens, score, axis=1, reduction="max")
    outputs = [
        _result(graph, "scores", dense, TensorProto.FLOAT, "vocabulary_size"),
        _result(graph, "candidates", tokens, TensorProto.INT64, "width"),
        _result(graph, "candidate_scores", score, TensorProto.FLOAT, "width"),
        _result(graph, "candidate_states", state, TensorProto.INT32, "width"),
    ]
    logits = value_info("logits", TensorProto.FLOAT, [BATCH, "vocabulary_size"])
    return _model(graph, "constrained_logits", [logits, *inputs], outputs)


def build_advance(catalog: Catalog, rules: Rules, *, embed: bool) -> onnx.ModelProto:
    """Build the step from state to state, for a search that chooses from the dense `scores`.

    Inputs: `state` `[batch]` int32, `token` `[batch]` int64, and without `embed` the catalogue's arrays.
    Output: `next_state` `[batch]` int32, DEAD behind any token that the state does not allow.
    """
    graph = _new_graph()
    inputs = _catalog(graph, catalog, embed)
    found, _ = _children(graph)
    written = graph.op("Equal", _tokens(graph, found, rules), graph.column("token"))
    node = graph.op("Where", graph.op("And", written, found.legal), found.nodes, graph.constant(DEAD, np.int32))
    after = graph.op("ReduceMax", node, graph.constant([1]), keepdims=0)
    token = value_info("token", TensorProto.INT64, [BATCH])
    outputs = [_result(graph, "next_state", after, TensorProto.INT32)]
    return _model(graph, "advance_state", [token, *inputs], outputs)


def _new_graph() -> GraphBuilder:
    return GraphBuilder(None)  # type: ignore[arg-type]  # no weights, no file for them


def _catalog(graph: GraphBuilder, catalog: Catalog, embed: bool) -> list[onnx.ValueInfoProto]:
    """Return the inputs besides the first: the state, and the catalogue's arrays unless they go into the graph."""
    state = value_info("state", TensorProto.INT32, [BATCH])
    if not embed:
        return [state, *(value_info(name, *trie.INPUTS[name]) for name in CATALOG_INPUTS)]
    for name in CATALOG_INPUTS:
        graph.initializers.append(onnx.numpy_helper.from_array(catalog.arrays()[name], name))
    return [state]


def _children(graph: GraphBuilder) -> tuple[trie.Candidates, str]:
    """Return what each row may write next `[batch, width]`, and whether it may write no code any more `[batch, 1]`.

    The width is that of the widest node of all levels: a row does not know its depth.
    """
    zero = graph.constant(0, np.int32)
    widths = graph.op("Slice", "level_width", graph.constant([0]), graph.constant([-1]))  # the last: items of a leaf
    width = graph.op("ReduceMax", widths, keepdims=0)
    nodes = trie.count_of(graph, "node_code")
    node = graph.op("Max", "state", zero)
    found = trie.children_within(graph, node, width, "live_items", nodes)
    # A leaf's children are items, which are nodes without codes.
    is_leaf = graph.op("GreaterOrEqual", graph.op("Gather", "child_start", node), nodes)
    terminal = graph.column(graph.op("Or", is_leaf, graph.op("Less", "state", zero)))
    legal = graph.op("And", found.legal, graph.op("Not", terminal))
    return trie.Candidates(found.nodes, legal, found.width), terminal


def _tokens(graph: GraphBuilder, found: trie.Candidates, rules: Rules) -> str:
    """Return the candidates' token ids `[batch, width]` int64."""
    codes = graph.op("Cast", graph.op("Gather", "node_code", found.nodes), to=TensorProto.INT64)
    return graph.op("Add", codes, graph.constant(rules.first_code_token))


def _log_probabilities(graph: GraphBuilder, legal: str, tokens: str, rules: Rules) -> str:
    """Return `[batch, width]` for the candidates, minus infinity where illegal."""
    gathered = trie.select(graph, legal, graph.op("GatherElements", "logits", tokens, axis=1))
    if rules.scoring == "codes":
        normaliser = graph.op("ReduceLogSumExp", gathered, graph.constant([1]), keepdims=1)
    else:
        normaliser = _over_vocabulary(graph, rules)
    return trie.select(graph, legal, graph.op("Sub", gathered, normaliser))


def _over_vocabulary(graph: GraphBuilder, rules: Rules) -> str:
    """Return the log of each row's sum over all logits, `[batch, 1]`."""
    return graph.column(trie.read_logits(graph, "logits", "state", rules.scoring).normaliser)


def _with_end(
    graph: GraphBuilder, rules: Rules, end_token: int, terminal: str, found: tuple[str, str, str]
) -> tuple[str, str, str]:
    """Return tokens, scores and states with one column more: the end token, legal where the row is terminal."""
    if rules.scoring == "codes":  # the only legal token of its row
        own = graph.constant([[0.0]], np.float32)
    else:
        logit = graph.op("Gather", "logits", graph.constant([end_token]), axis=1)  # [batch, 1]
        own = graph.op("Sub", logit, _over_vocabulary(graph, rules))
    score = trie.select(graph, terminal, own)
    rows = graph.op("Shape", score)
    columns = (
        graph.op("Expand", graph.constant([[end_token]]), rows),
        score,
        graph.op("Expand", graph.constant([[DEAD]], np.int32), rows),
    )
    tokens, scores, states = (graph.op("Concat", *pair, axis=1) for pair in zip(found, columns, strict=True))
    return tokens, scores, states


def _result(graph: GraphBuilder, name: str, value: str, dtype: int, *axes: str) -> onnx.ValueInfoProto:
    graph.emit(value, name)
    return value_info(name, dtype, [BATCH, *axes])


def _model(
    graph: GraphBuilder, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    return helper.make_model(
        graph.graph(name, inputs, outputs),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="odllm",
    )
