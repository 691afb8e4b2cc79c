"""What may follow every beam of a search in torch: the catalogue's trie, or any code of the level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lcrec.catalog import Catalog, live_items_without

Constraint = Literal["trie", "levels"]


@dataclass(frozen=True)
class Beams:
    """The live ends of a search.

    `score`, trie `node` (or code row), `code_row` and `parent` (the beam of the level before) are `[users, beams]`,
    `codes [users, beams, t]`, `margin [users]`.
    """

    score: Tensor
    node: Tensor
    code_row: Tensor
    parent: Tensor
    codes: Tensor
    margin: Tensor

    @classmethod
    def root(cls, users: int, device: torch.device) -> Beams:
        """Return the beginning: one beam a user, at the root."""
        nothing = torch.zeros(users, 1, dtype=torch.long, device=device)
        return cls(
            score=torch.zeros(users, 1, device=device),
            node=nothing,
            code_row=nothing,
            parent=nothing,
            codes=nothing[..., None][..., :0],
            margin=torch.full((users,), torch.inf, device=device),
        )

    def to(self, device: str) -> Beams:
        """Return the same on another device."""
        return Beams(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class Options:
    """What may follow every beam: nodes, their code rows and whether they are legal, each `[users, beams, width]`.

    The code row of what is not legal is one of the level's all the same.
    """

    node: Tensor
    code_row: Tensor
    legal: Tensor


class CodeTree:
    """A catalogue on the model's device.

    Args:
        catalog: which items exist.
        constraint: `trie`: only prefixes of existing items; `levels`: any code that occurs at the level.
        blocked: item rows that must not come back, a list a user.
        users: of the batch.
        device: of the model.
    """

    def __init__(
        self,
        catalog: Catalog,
        constraint: Constraint,
        blocked: Sequence[Sequence[int]] | None,
        users: int,
        device: torch.device,
    ) -> None:
        self.catalog, self.device = catalog, device
        self.offsets = np.cumsum((0, *catalog.code_sizes)).tolist()  # [levels + 1]
        if constraint == "levels":
            rows = catalog.item_code_rows.T.astype(np.int64)
            self.occurring = [torch.from_numpy(np.unique(column)).to(device) for column in rows]
            return
        self.occurring = []
        self.child_start = torch.from_numpy(catalog.child_start).to(device)
        self.node_code = torch.from_numpy(catalog.node_code).to(device)
        self.live = _live_items(catalog, blocked, users).to(device)

    def options(self, beams: Beams, level: int) -> Options:
        """Return what may follow at a level."""
        if self.occurring:
            rows = self.occurring[level].expand(*beams.node.shape, -1)
            return Options(rows, rows, torch.ones_like(rows, dtype=torch.bool))
        width = torch.arange(int(self.catalog.level_width[level]), device=self.device)
        nodes = self.child_start[beams.node].long()[..., None] + width
        legal = nodes < self.child_start[beams.node + 1][..., None]
        nodes = nodes.clamp(max=self.catalog.nodes - 1)
        legal &= self.live.gather(1, nodes.flatten(1)).view_as(nodes) > 0
        # A dead beam may have any node, of another depth too.
        legal &= ~beams.score.isneginf()[..., None]
        return Options(nodes, self.node_code[nodes].long().masked_fill(~legal, self.offsets[level]), legal)


def _live_items(catalog: Catalog, blocked: Sequence[Sequence[int]] | None, users: int) -> Tensor:
    """Return `[users, nodes + items]` live counts; one shared row where nothing is blocked."""
    if blocked is None:
        return torch.from_numpy(catalog.live_items).expand(users, -1)
    rows = [live_items_without(catalog, np.asarray(rows, dtype=np.int64)) for rows in blocked]
    return torch.from_numpy(np.stack(rows))
