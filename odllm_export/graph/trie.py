"""The catalogue in the graph: prompts from item rows, live counts, and growing every beam by one level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from lcrec.prompt import Prompt
from odllm_export.graph.builder import GraphBuilder

INPUTS: dict[str, tuple[int, list[str | int | None]]] = {
    "history": (TensorProto.INT64, ["history"]),
    "blocked": (TensorProto.INT64, ["blocked"]),
    "child_start": (TensorProto.INT32, ["nodes_and_end"]),
    "node_code": (TensorProto.INT32, ["nodes"]),
    "live_items": (TensorProto.INT32, ["nodes_and_items"]),
    "item_path": (TensorProto.INT32, ["items", None]),
    "item_order": (TensorProto.INT32, ["items"]),
    "level_width": (TensorProto.INT32, [None]),
}
"""The graph's inputs: a call's history and blocked items (rows), then the catalogue's arrays (lcrec.catalog)."""


def prompt_ids(graph: GraphBuilder, prompt: Prompt, rows: Callable[[tuple[int, ...]], list[int]], offset: int) -> str:
    """Return the prompt's embedding rows `[tokens]` int64 for the last `max_items` of `history`.

    Args:
        graph: where nodes go.
        prompt: layout.
        rows: maps token ids to embedding rows.
        offset: embedding row of code row 0.
    """
    kept = graph.last("history", graph.constant([prompt.max_items]), axis=0)
    paths = graph.op("Gather", "item_path", kept, axis=0)  # [kept, levels + 1]
    paths = graph.first(paths, graph.constant([prompt.levels]), axis=1)
    codes = graph.op("Cast", graph.op("Gather", "node_code", paths), to=TensorProto.INT64)  # [kept, levels]
    ids = graph.op("Add", codes, graph.constant(offset))
    if prompt.separator_ids:
        separators = graph.constant([rows(prompt.separator_ids)])  # [1, separator]
        shape = graph.op("Concat", graph.size(ids, 0), graph.constant([len(prompt.separator_ids)]), axis=0)
        ids = graph.op("Concat", ids, graph.op("Expand", separators, shape), axis=1)
    ids = graph.flat(ids)
    if prompt.separator_ids:  # none behind the last item
        ids = graph.op("Slice", ids, graph.constant([0]), graph.constant([-len(prompt.separator_ids)]))
    parts = [graph.constant(rows(prompt.prefix_ids)), ids]
    if prompt.suffix_ids:
        parts.append(graph.constant(rows(prompt.suffix_ids)))
    return graph.op("Concat", *parts, axis=0)


def live_items(graph: GraphBuilder) -> str:
    """Return `live_items` less the blocked items: every node on a blocked item's path counts one fewer.

    An item that is blocked in the catalogue already counts 0 and is not subtracted again, and an item that is
    named twice in `blocked` counts once. Where nothing is blocked, nothing is copied: a catalogue may be large.
    """
    body = graph.body()
    rows = body.op("Unique", "blocked", sorted=1)
    paths = body.op("Gather", "item_path", rows, axis=0)  # [blocked, levels + 1]
    items = body.last(paths, body.constant([1]), axis=1)  # the items' own nodes
    fewer = body.op("Neg", body.op("Gather", "live_items", items))  # [blocked, 1], 0 or -1
    fewer = body.op("Expand", fewer, body.op("Shape", paths))
    live = body.op("ScatterElements", "live_items", body.flat(paths), body.flat(fewer), axis=0, reduction="add")
    anything = graph.op("Greater", graph.op("Size", "blocked"), graph.constant(0))
    nodes = INPUTS["live_items"]
    (result,) = graph.branch(anything, then=(body, [live]), otherwise=(graph.body(), ["live_items"]), types=[nodes])
    return result


def count_of(graph: GraphBuilder, vector: str) -> str:
    """Return the length of a vector as an int32 scalar."""
    return graph.op("Cast", graph.op("Size", vector), to=TensorProto.INT32)


@dataclass(frozen=True)
class Candidates:
    """The children of every beam, `[beams, width]` each: node, whether it is live, and the width as a scalar."""

    nodes: str
    legal: str
    width: str


def children(body: GraphBuilder, node: str, depth: str, live: str, end_of_kind: str) -> Candidates:
    """Return the children of `node [beams]` (int32) at trie depth `depth` (scalar)."""
    return children_within(body, node, body.op("Gather", "level_width", depth), live, end_of_kind)


def children_within(body: GraphBuilder, node: str, width: str, live: str, end_of_kind: str) -> Candidates:
    """Return the children of `node [beams]` (int32), none of which has more than `width` (scalar int32).

    A dead beam may stand anywhere, and its children with it: all are held below `end_of_kind` (scalar int32), the
    end of the nodes with codes, or of the items, so that what is gathered for them exists.
    """
    columns = body.op("Range", body.constant(0, np.int32), width, body.constant(1, np.int32))
    start = body.op("Gather", "child_start", node)
    end = body.op("Gather", "child_start", body.op("Add", node, body.constant(1, np.int32)))
    nodes = body.op("Add", body.column(start), columns)  # [beams, width]
    in_range = body.op("Less", nodes, body.column(end))
    nodes = body.op("Min", nodes, body.op("Sub", end_of_kind, body.constant(1, np.int32)))
    alive = body.op("Greater", body.op("Gather", live, nodes), body.constant(0, np.int32))
    return Candidates(nodes, body.op("And", in_range, alive), body.op("Cast", width, to=TensorProto.INT64))


@dataclass(frozen=True)
class Kept:
    """The best candidates: `score`, `node` (int32), `parent` (int64, the beam it grew from), each `[kept]`."""

    score: str
    node: str
    parent: str


def keep_best(body: GraphBuilder, candidates: Candidates, score: str, num_beams: int) -> Kept:
    """Return the `num_beams` best of `score [beams, width]`; equal scores stay in order, as TopK promises."""
    scores = body.flat(score)
    count = body.op("Min", body.constant([num_beams]), body.size(scores, 0))
    best, index = body.ops("TopK", scores, count, outputs=2)
    node = body.op("Gather", body.flat(candidates.nodes), index)
    return Kept(best, node, body.op("Div", index, candidates.width))


def select(body: GraphBuilder, legal: str, score: str) -> str:
    """Return `score` where legal and minus infinity elsewhere."""
    return body.op("Where", legal, score, body.constant(-np.inf, np.float32))


@dataclass(frozen=True)
class Logits:
    """What a pass read.

    Attributes:
        values: `[read, rows of the head]`.
        normaliser: `[read]`, the log of the sum over the whole vocabulary; empty where scoring is over codes.
        nodes: `[read]` int32, the trie node after which each row of logits stands.
    """

    values: str
    normaliser: str
    nodes: str


def read_logits(body: GraphBuilder, values: str, nodes: str, scoring: str) -> Logits:
    """Return logits ready for `code_scores`."""
    normaliser = ""
    if scoring == "vocab":
        # The runtime's ReduceLogSumExp is not vectorised: 17 of 570 ms at SmolLM2's vocabulary.
        largest = body.op("ReduceMax", values, body.constant([1]), keepdims=1)
        total = _sum_of_rows(body, body.op("Exp", body.op("Sub", values, largest)))
        normaliser = body.flat(body.op("Add", largest, body.op("Log", total)))
    return Logits(values, normaliser, nodes)


def _sum_of_rows(body: GraphBuilder, values: str) -> str:
    """Return the sum of each row, `[rows, 1]`, added up in blocks of 256.

    The runtime adds one after another: the normaliser over 49,408 logits is 3e-5 off then, 1e-6 in blocks (measured).
    """
    missing = body.op("Mod", body.op("Neg", body.size(values, 1)), body.constant([256]))
    padded = body.op("Pad", values, body.op("Concat", body.constant([0, 0, 0]), missing, axis=0))
    blocks = body.op("Reshape", padded, body.constant([0, -1, 256]))
    sums = body.op("ReduceSum", blocks, body.constant([2]), keepdims=0)  # [rows, blocks]
    return body.op("ReduceSum", sums, body.constant([1]), keepdims=1)


def matches(body: GraphBuilder, logits: Logits, node: str) -> str:
    """Return `[beams, read]` uint8: 1 where a row of logits stands after the beam's node."""
    equal = body.op("Equal", body.column(node), body.row(logits.nodes))
    return body.op("Cast", equal, to=TensorProto.UINT8)


def code_scores(
    body: GraphBuilder, candidates: Candidates, logits: Logits, node: str, code_offset: int, scoring: str
) -> str:
    """Return log-probabilities of the candidates `[beams, width]`, minus infinity where illegal.

    A beam without logits of its own has a single live child (that is why it was not fed). Over codes the child's
    probability is 1 whatever the logits, so any row serves.

    Args:
        body: where nodes go.
        candidates: children of the beams.
        logits: of this pass.
        node: `[beams]` int32, the beams' nodes.
        code_offset: row of the head that holds code row 0.
        scoring: `vocab` or `codes`.
    """
    row = body.op("ArgMax", matches(body, logits, node), axis=1, keepdims=0)  # [beams]
    codes = body.op("Cast", body.op("Gather", "node_code", candidates.nodes), to=TensorProto.INT64)
    if code_offset:
        codes = body.op("Add", codes, body.constant(code_offset))
    # Gathered from the flat logits: a row for every beam would copy the whole vocabulary.
    place = body.op("Add", body.op("Mul", body.column(row), body.size(logits.values, 1)), codes)
    gathered = select(body, candidates.legal, body.op("Gather", body.flat(logits.values), place))
    if scoring == "codes":
        normaliser = body.op("ReduceLogSumExp", gathered, body.constant([1]), keepdims=1)
    else:
        normaliser = body.column(body.op("Gather", logits.normaliser, row))
    return select(body, candidates.legal, body.op("Sub", gathered, normaliser))


def ranked_items(
    graph: GraphBuilder, kept_node: str, kept_score: str, levels: int, live: str, num_beams: int
) -> list[str]:
    """Return `items` (int64 rows) and `scores` for the final leaves: their live items, best leaf first."""
    candidates = children(graph, kept_node, graph.constant(levels), live, count_of(graph, live))
    score = graph.op("Add", graph.column(kept_score), select(graph, candidates.legal, graph.constant(0.0, np.float32)))
    kept = keep_best(graph, candidates, score, num_beams)
    alive = graph.op("Greater", kept.score, graph.constant(-np.inf, np.float32))
    count = graph.op("ReduceSum", graph.op("Cast", alive, to=TensorProto.INT64), keepdims=1)
    nodes = graph.op("Cast", graph.first(kept.node, count, axis=0), to=TensorProto.INT64)
    position = graph.op("Sub", nodes, graph.op("Size", "node_code"))
    rows = graph.op("Cast", graph.op("Gather", "item_order", position), to=TensorProto.INT64)
    return [rows, graph.first(kept.score, count, axis=0)]
