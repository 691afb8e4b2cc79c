"""What may come next at every position of a token sequence: the codes that a constrained search would choose among."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lcrec.catalog import Catalog
from lcrec.prompt import Prompt


def legal_next_codes(
    catalog: Catalog, prompt: Prompt, ids: NDArray[np.int64], real: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which codes may follow each position, where a code follows.

    Args:
        catalog: which items exist.
        prompt: how items become tokens.
        ids: `[batch, tokens]` token ids.
        real: `[batch, tokens]` false on padding.

    Returns:
        `[batch, tokens, code_rows]`. Nothing is legal where no code follows, nor inside an item that the catalogue
        does not have.
    """
    rows = np.where(real, ids - prompt.first_code_token, -1)
    level = np.searchsorted(catalog.level_offsets, rows, side="right") - 1  # -1 before the codes
    level[rows >= catalog.code_rows] = -1
    before = _nodes_before(catalog, rows, level)
    allowed = np.zeros((*ids.shape, catalog.code_rows), dtype=bool)
    batch, position = np.nonzero((before >= 0)[:, 1:])
    nodes = before[batch, position + 1]
    starts, widths = catalog.child_start[nodes], catalog.child_start[nodes + 1] - catalog.child_start[nodes]
    children = np.arange(widths.sum()) - np.repeat(widths.cumsum() - widths, widths) + np.repeat(starts, widths)
    allowed[np.repeat(batch, widths), np.repeat(position, widths), catalog.node_code[children]] = True
    return allowed


def _nodes_before(catalog: Catalog, rows: NDArray[np.int64], level: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the trie node that each code token was chosen at, `[batch, tokens]`; -1 where there is none."""
    parent = np.zeros(catalog.nodes, dtype=np.int64)
    inner = catalog.child_start[: catalog.nodes + 1].clip(max=catalog.nodes)
    parent[1:] = np.repeat(np.arange(catalog.nodes), np.diff(inner))
    # Children are numbered in the order of their parents and, below one parent, of their codes: the keys are sorted.
    keys = parent[1:] * catalog.code_rows + catalog.node_code[1:]
    before = np.where(level == 0, 0, -1)
    for depth in range(catalog.levels):
        chosen = (level == depth) & (before >= 0)
        wanted = before[chosen] * catalog.code_rows + rows[chosen]
        at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
        reached = np.full(rows.shape, -1)
        reached[chosen] = np.where(keys[at] == wanted, at + 1, -1)
        follows = level[:, 1:] == depth + 1
        before[:, 1:][follows] = reached[:, :-1][follows]
    return before
