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
    ids = graph.op("Reshape", ids, graph.constant([-1]))
    if prompt.separator_ids:  # none behind the last item
        ids = graph.op("Slice", ids, graph.constant([0]), graph.constant([-len(prompt.separator_ids)]))
    parts = [graph.constant(rows(prompt.prefix_ids)), ids]
    if prompt.suffix_ids:
        parts.append(graph.constant(rows(prompt.suffix_ids)))
    return graph.op("Concat", *parts, axis=0)


def live_items(graph: GraphBuilder) -> str:
    """Return `live_items` less the blocked items: every node on a blocked item's path counts one fewer.

    An item that is blocked in the catalogue already counts 0 and is not subtracted again, and an item that is
    named twice in `blocked` counts once.
    """
    rows = graph.op("Unique", "blocked", sorted=1)
    paths = graph.op("Gather", "item_path", rows, axis=0)  # [blocked, levels + 1]
    items = graph.last(paths, graph.constant([1]), axis=1)  # the items' own nodes
    fewer = graph.op("Neg", graph.op("Gather", "live_items", items))  # [blocked, 1], 0 or -1
    fewer = graph.op("Expand", fewer, graph.op("Shape", paths))
    flat = graph.constant([-1])
    return graph.op(
        "ScatterElements",
        "live_items",
        graph.op("Reshape", paths, flat),
        graph.op("Reshape", fewer, flat),
        axis=0,
        reduction="add",
    )


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
    """Return the children of `node [beams]` (int32) at trie depth `depth` (scalar).

    A dead beam may stand anywhere, and its children with it: all are held below `end_of_kind` (scalar int32), the
    end of the nodes with codes, or of the items, so that what is gathered for them exists.
    """
    width = body.op("Gather", "level_width", depth)  # scalar int32
    columns = body.op("Range", body.constant(0, np.int32), width, body.constant(1, np.int32))
    start = body.op("Gather", "child_start", node)
    end = body.op("Gather", "child_start", body.op("Add", node, body.constant(1, np.int32)))
    axis = body.constant([1])
    nodes = body.op("Add", body.op("Unsqueeze", start, axis), columns)  # [beams, width]
    in_range = body.op("Less", nodes, body.op("Unsqueeze", end, axis))
    nodes = body.op("Min", nodes, body.op("Sub", end_of_kind, body.constant(1, np.int32)))
    alive = body.op("Greater", body.op("Gather", live, nodes), body.constant(0, np.int32))
    return Candidates(nodes, body.op("And", in_range, alive), body.op("Cast", width, to=TensorProto.INT64))


@dataclass(frozen=True)
class Kept:
    """The best candidates: `score`, `node` (int32), `parent` (int64, the beam it grew from), each `[kept]`."""

    score: str
    node: str
    parent: str
    count: str


def keep_best(body: GraphBuilder, candidates: Candidates, score: str, num_beams: int) -> Kept:
    """Return the `num_beams` best of `score [beams, width]`; equal scores stay in order, as TopK promises."""
    flat = body.constant([-1])
    scores = body.op("Reshape", score, flat)
    count = body.op("Min", body.constant([num_beams]), body.size(scores, 0))
    best, index = body.ops("TopK", scores, count, outputs=2)
    node = body.op("Gather", body.op("Reshape", candidates.nodes, flat), index)
    return Kept(best, node, body.op("Div", index, candidates.width), count)


def select(body: GraphBuilder, legal: str, score: str) -> str:
    """Return `score` where legal and minus infinity elsewhere."""
    return body.op("Where", legal, score, body.constant(-np.inf, np.float32))


def code_scores(body: GraphBuilder, candidates: Candidates, logits: str, code_offset: int, scoring: str) -> str:
    """Return log-probabilities of the candidates `[beams, width]`, minus infinity where illegal.

    Args:
        body: where nodes go.
        candidates: children of the beams.
        logits: `[beams, rows of the head]`.
        code_offset: row of the head that holds code row 0.
        scoring: `vocab` or `codes`.
    """
    codes = body.op("Gather", "node_code", candidates.nodes)
    if code_offset:
        codes = body.op("Add", codes, body.constant(code_offset, np.int32))
    if scoring == "vocab":
        # Not ReduceLogSumExp: onnxruntime's adds one by one, 2e-4 off over 49,408 logits, and takes six times as long.
        scores = body.op("LogSoftmax", logits, axis=1)
        return select(body, candidates.legal, body.op("GatherElements", scores, codes, axis=1))
    gathered = select(body, candidates.legal, body.op("GatherElements", logits, codes, axis=1))
    normaliser = body.op("ReduceLogSumExp", gathered, body.constant([1]), keepdims=1)
    return select(body, candidates.legal, body.op("Sub", gathered, normaliser))


def ranked_items(
    graph: GraphBuilder, kept_node: str, kept_score: str, levels: int, live: str, num_beams: int
) -> list[str]:
    """Return `items` (int64 rows) and `scores` for the final leaves: their live items, best leaf first."""
    candidates = children(graph, kept_node, graph.constant(levels), live, count_of(graph, live))
    score = graph.op("Unsqueeze", kept_score, graph.constant([1]))
    score = graph.op("Add", score, select(graph, candidates.legal, graph.constant(0.0, np.float32)))
    kept = keep_best(graph, candidates, score, num_beams)
    alive = graph.op("Greater", kept.score, graph.constant(-np.inf, np.float32))
    count = graph.op("ReduceSum", graph.op("Cast", alive, to=TensorProto.INT64), keepdims=1)
    nodes = graph.op("Cast", graph.first(kept.node, count, axis=0), to=TensorProto.INT64)
    position = graph.op("Sub", nodes, graph.op("Size", "node_code"))
    rows = graph.op("Cast", graph.op("Gather", "item_order", position), to=TensorProto.INT64)
    return [rows, graph.first(kept.score, count, axis=0)]
