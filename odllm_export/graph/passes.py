"""Tree passes: which tokens a pass feeds, what each of them sees, and how far the beams grow on what it read.

Every column of the key-value cache is labelled with a trie node: the prompt's tokens with the root, a code's token
with the node that it leads to. Beams are nodes of one trie, so a token sees exactly the columns whose node lies on its
own path from the root. No ancestor matrix is carried, and tokens of different depths can stand in one pass.

That freedom is used twice, both times exactly:

- Over `codes`, a beam whose node has a single live child needs no logits: the child's probability is 1. Its token is
  fed only when a descendant branches, or never; and where no beam branches, the pass does not happen.
- Where the children of all beams are few, they are fed together with their parents, ahead of knowing which of them
  the search keeps. Their logits serve the next level too: two levels for one pass over the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from lcrec.search import Scoring
from odllm_export.graph import trie
from odllm_export.graph.builder import GraphBuilder, State


@dataclass(frozen=True)
class Search:
    """How the graph searches.

    Attributes:
        num_beams: beams kept a level.
        scoring: `vocab` or `codes`.
        levels: of the catalogue.
        ahead: the most children that are fed together with their parents; 0 feeds every level by itself.
    """

    num_beams: int
    scoring: Scoring
    levels: int
    ahead: int

    @property
    def most_tokens(self) -> int:
        """The most tokens of one pass behind the prompt: whole paths of all beams, and their children."""
        return self.num_beams * self.levels + self.ahead


@dataclass(frozen=True)
class Beams:
    """The live ends of the search.

    Attributes:
        path: `[beams, depth + 1]` int32: the nodes from the root to the beam's own.
        score: `[beams]` float32; minus infinity for a dead beam, which may stand anywhere.
        depth: int64 scalar: codes chosen so far.
    """

    path: str
    score: str
    depth: str

    def node(self, body: GraphBuilder) -> str:
        """Return the beams' own nodes, `[beams]`."""
        return body.op("Squeeze", body.last(self.path, body.constant([1]), axis=1), body.constant([1]))

    def alive(self, body: GraphBuilder) -> str:
        """Return `[beams]` bool."""
        return body.op("Greater", self.score, body.constant(-np.inf, np.float32))


@dataclass(frozen=True)
class Fed:
    """The tokens of the next pass.

    Attributes:
        ids: `[rows]` int64 embedding rows.
        positions: `[rows]` int64.
        mask: `[rows, columns + rows]` bool: what each token sees.
        nodes: `[rows]` int32: the trie node that each token leads to.
    """

    ids: str
    positions: str
    mask: str
    nodes: str


def grow_beams(
    body: GraphBuilder, search: Search, beams: Beams, logits: trie.Logits, live: str, code_offset: int
) -> Beams:
    """Grow the beams level by level for as long as no beam needs logits that this pass did not read."""
    state: State = {
        "growing.path": (beams.path, TensorProto.INT32, ["beams", "depth"]),
        "growing.score": (beams.score, TensorProto.FLOAT, ["beams"]),
        "growing.depth": (beams.depth, TensorProto.INT64, []),
    }
    inner = body.body()
    grown = grow_one_level(inner, search, Beams(*state), logits, live, code_offset)
    needy = _needs_logits(inner, search, grown, live)
    unread = inner.op("Not", inner.op("Cast", _any(inner, trie.matches(inner, logits, grown.node(inner)), 1), to=9))
    waiting = inner.op("Cast", inner.op("And", needy, unread), to=TensorProto.INT32)
    nobody_waits = inner.op("Equal", inner.op("ReduceSum", waiting, keepdims=0), inner.constant(0, np.int32))
    unfinished = inner.op("Less", grown.depth, inner.constant(search.levels))
    go_on = inner.op("And", nobody_waits, unfinished)
    after = dict(zip(state, (grown.path, grown.score, grown.depth), strict=True))
    return Beams(*body.loop(body.constant(search.levels), state, inner, go_on, after, iteration="growth").values())


def grow_one_level(
    body: GraphBuilder, search: Search, beams: Beams, logits: trie.Logits, live: str, code_offset: int
) -> Beams:
    """Grow every beam by one code and keep the best."""
    node = beams.node(body)
    candidates = trie.children(body, node, beams.depth, live, trie.count_of(body, "node_code"))
    code_score = trie.code_scores(body, candidates, logits, node, code_offset, search.scoring)
    kept = trie.keep_best(body, candidates, body.op("Add", body.column(beams.score), code_score), search.num_beams)
    path = body.op("Concat", body.op("Gather", beams.path, kept.parent, axis=0), body.column(kept.node), axis=1)
    return Beams(path, kept.score, body.op("Add", beams.depth, body.constant(1)))


def _needs_logits(body: GraphBuilder, search: Search, beams: Beams, live: str) -> str:
    """Return `[beams]` bool: who cannot grow without logits."""
    alive = beams.alive(body)
    if search.scoring == "vocab":
        return alive
    candidates = trie.children(body, beams.node(body), beams.depth, live, trie.count_of(body, "node_code"))
    legal = body.op("Cast", candidates.legal, to=TensorProto.INT32)
    count = body.op("ReduceSum", legal, body.constant([1]), keepdims=0)
    return body.op("And", alive, body.op("Greater", count, body.constant(1, np.int32)))


def next_tokens(
    body: GraphBuilder, search: Search, beams: Beams, live: str, columns: str, prompt_tokens: str, code_offset: int
) -> Fed:
    """Return what the next pass feeds: the beams that need logits, what of their paths is missing, and children ahead.

    Args:
        body: where nodes go.
        search: how the graph searches.
        beams: after growing. Where they are complete the result is not used, but must still be computable.
        live: live counts.
        columns: `[columns]` int32: the trie node of each cached column.
        prompt_tokens: int64 scalar.
        code_offset: embedding row of code row 0.
    """
    depth = body.op("Min", beams.depth, body.constant(search.levels - 1))
    beams = Beams(beams.path, beams.score, depth)
    needy = _needs_logits(body, search, beams, live)
    children, ahead = _children_ahead(body, search, beams, live)
    needy = body.op("Or", needy, body.op("Cast", _any(body, body.op("Cast", ahead, to=TensorProto.UINT8), 1), to=9))
    pending = body.op("And", body.op("Not", _is_in(body, beams.path, columns)), body.column(needy))

    own, own_path, own_depth = _pending_tokens(body, beams, pending)
    child, child_path, child_depth = _child_tokens(body, beams, children, ahead)
    nodes = body.op("Concat", own, child, axis=0)
    paths = body.op("Concat", own_path, child_path, axis=0)
    depths = body.op("Concat", own_depth, child_depth, axis=0)
    code = body.op("Cast", body.op("Gather", "node_code", nodes), to=TensorProto.INT64)
    before = body.op("Sub", prompt_tokens, body.constant(1))  # the first code stands right behind the prompt
    return Fed(
        ids=body.op("Add", code, body.constant(code_offset)) if code_offset else code,
        positions=body.op("Add", depths, before),
        mask=sees(body, paths, body.op("Concat", columns, nodes, axis=0)),
        nodes=nodes,
    )


def _children_ahead(body: GraphBuilder, search: Search, beams: Beams, live: str) -> tuple[str, str]:
    """Return the beams' children `[beams, width]` and which of them are fed ahead: all that may need it, or none."""
    candidates = trie.children(body, beams.node(body), beams.depth, live, trie.count_of(body, "node_code"))
    wanted = body.op("And", candidates.legal, body.column(beams.alive(body)))
    if search.scoring == "codes":
        # By the trie's shape, not by what is live: a child fed in vain costs time, one that is missing a pass.
        end = body.op("Gather", "child_start", body.op("Add", candidates.nodes, body.constant(1, np.int32)))
        width = body.op("Sub", end, body.op("Gather", "child_start", candidates.nodes))
        wanted = body.op("And", wanted, body.op("Greater", width, body.constant(1, np.int32)))
    count = body.op("ReduceSum", body.op("Cast", wanted, to=TensorProto.INT32), keepdims=0)
    few = body.op("LessOrEqual", count, body.constant(search.ahead, np.int32))
    another_level = body.op("Less", beams.depth, body.constant(search.levels - 1))
    return candidates.nodes, body.op("And", wanted, body.op("And", few, another_level))


def _pending_tokens(body: GraphBuilder, beams: Beams, pending: str) -> tuple[str, str, str]:
    """Return nodes `[n]`, paths `[n, depth + 2]` (the root past their own node) and depths `[n]` of `pending`."""
    places = body.op("Transpose", body.op("NonZero", pending), perm=[1, 0])  # [n, 2]: beam, depth
    beam, depth = body.ops("Split", places, body.constant([1, 1]), outputs=2, axis=1)
    path = body.op("Gather", beams.path, body.flat(beam), axis=0)
    levels = body.row(body.range(body.scalar(body.size(beams.path, 1))))
    path = body.op("Where", body.op("LessOrEqual", levels, depth), path, body.constant(0, np.int32))
    path = body.op("Pad", path, body.constant([0, 0, 0, 1]), body.constant(0, np.int32))
    return body.op("GatherND", beams.path, places), path, body.flat(depth)


def _child_tokens(body: GraphBuilder, beams: Beams, children: str, ahead: str) -> tuple[str, str, str]:
    """Return nodes, paths and depths of the children that are fed ahead."""
    places = body.op("Transpose", body.op("NonZero", ahead), perm=[1, 0])  # [n, 2]: beam, child
    node = body.op("GatherND", children, places)
    beam = body.flat(body.first(places, body.constant([1]), axis=1))
    path = body.op("Concat", body.op("Gather", beams.path, beam, axis=0), body.column(node), axis=1)
    below = body.op("Add", beams.depth, body.constant(1))
    return node, path, body.op("Expand", below, body.op("Shape", node))


def _is_in(body: GraphBuilder, nodes: str, columns: str) -> str:
    """Return which of `nodes [n, depth]` label a column, `[n, depth]` bool."""
    equal = body.op("Equal", body.op("Unsqueeze", nodes, body.constant([2])), columns)
    return body.op("Cast", _any(body, body.op("Cast", equal, to=TensorProto.UINT8), 2), to=TensorProto.BOOL)


def sees(body: GraphBuilder, paths: str, columns: str) -> str:
    """Return `[n, columns]` bool: whether a column's node is on a token's path `[n, depth]`."""
    equal = body.op("Equal", body.op("Unsqueeze", paths, body.constant([2])), columns)
    return body.op("Cast", _any(body, body.op("Cast", equal, to=TensorProto.UINT8), 1), to=TensorProto.BOOL)


def _any(body: GraphBuilder, flags: str, axis: int) -> str:
    """Return uint8 flags, 1 where any along the axis is; the runtime reduces no booleans."""
    return body.op("ReduceMax", flags, body.constant([axis]), keepdims=0)
