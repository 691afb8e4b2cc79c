"""Constrained beam search in numpy: what graph/trie.py does in ONNX, for forms whose graphs hold the decoder alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcrec.catalog import Catalog, Int32, live_items_without

Float = NDArray[np.float32]
_DEAD = np.float32(-np.inf)


@dataclass(frozen=True)
class Beams:
    """The live ends of a search, best first.

    Attributes:
        path: `[beams, depth + 1]` the nodes from the root to the beam's own.
        score: `[beams]` sum of the log-probabilities of the path's codes.
    """

    path: Int32
    score: Float

    @classmethod
    def root(cls) -> Beams:
        """Return the one beam that every search begins with."""
        return cls(np.zeros((1, 1), np.int32), np.zeros(1, np.float32))

    @property
    def nodes(self) -> Int32:
        """The beams' own nodes, `[beams]`."""
        return self.path[:, -1]


@dataclass(frozen=True)
class TrieSearch:
    """One call's search.

    Attributes:
        catalog: the trie.
        live: `live_items` without what the call blocks.
        num_beams: beams kept a level.
        scoring: `vocab` or `codes`.
        code_offset: row of the head that holds code row 0.
    """

    catalog: Catalog
    live: Int32
    num_beams: int
    scoring: str
    code_offset: int

    @classmethod
    def without(
        cls, blocked: NDArray[np.int64], catalog: Catalog, num_beams: int, scoring: str, code_offset: int
    ) -> TrieSearch:
        """Return a search that never returns the items at rows `blocked`.

        Raises:
            CatalogError: a row outside the item table.
        """
        live = live_items_without(catalog, blocked) if len(blocked) else catalog.live_items
        return cls(catalog, live, num_beams, scoring, code_offset)

    def grow(self, beams: Beams, logits: Float) -> Beams:
        """Return the best of all live children.

        Args:
            beams: the beams.
            logits: `[beams, rows of the head]`, read after each beam's last token.
        """
        nodes, legal = self._children(beams)
        codes = self.catalog.node_code[np.where(legal, nodes, 0)] + self.code_offset
        gathered = np.where(legal, np.take_along_axis(logits, codes, axis=1), _DEAD)
        normaliser = _log_sum_exp(gathered if self.scoring == "codes" else logits)
        return self._best(beams, nodes, np.where(legal, beams.score[:, None] + gathered - normaliser, _DEAD))

    def items(self, beams: Beams) -> tuple[NDArray[np.int64], Float]:
        """Return the live items of complete beams and their scores: best first, those of one code in row order."""
        nodes, legal = self._children(beams)
        found = self._best(beams, nodes, np.where(legal, beams.score[:, None], _DEAD))
        return self.catalog.item_order[found.nodes - self.catalog.nodes].astype(np.int64), found.score

    def _children(self, beams: Beams) -> tuple[Int32, NDArray[np.bool_]]:
        """Return the beams' children `[beams, width]`, and which of them exist and are live."""
        start, end = self.catalog.child_start[beams.nodes], self.catalog.child_start[beams.nodes + 1]
        nodes = start[:, None] + np.arange((end - start).max(initial=0), dtype=np.int32)
        exists = nodes < end[:, None]
        return nodes, exists & (self.live[np.where(exists, nodes, 0)] > 0)

    def _best(self, beams: Beams, nodes: Int32, score: Float) -> Beams:
        flat = score.ravel()
        order = np.argsort(-flat, kind="stable")[: self.num_beams]  # equal scores stay in order
        order = order[flat[order] > _DEAD]
        path = np.concatenate([beams.path[order // max(1, score.shape[1])], nodes.ravel()[order, None]], axis=1)
        return Beams(path, flat[order])


def _log_sum_exp(values: Float) -> Float:
    """Return `[rows, 1]`; 0 for a row that is minus infinity all over, from which it can then be subtracted."""
    largest = values.max(axis=1, keepdims=True, initial=_DEAD)
    largest = np.where(np.isfinite(largest), largest, np.float32(0))
    total = np.exp(values - largest).sum(axis=1, keepdims=True)
    result: Float = largest + np.log(np.where(total > 0, total, np.float32(1)))
    return result
