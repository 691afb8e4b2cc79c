"""A learning rate of their own for the code tokens' rows.

New rows begin at random, among rows that were trained for long: what is right for these is too little for those. In a
table that learns they are rows of one tensor, and an optimizer has one rate a tensor; so its update of these rows is
taken several times over. By AdamW that is what a rate so many times as high would have done, weight decay included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

_ROWS_ALONE = "trainable_tokens_"
"""What PEFT calls a tensor that holds nothing but the rows that learn."""


@dataclass(frozen=True, eq=False)
class CodeRows:
    """The code tokens' rows of one tensor, as far as this process has them.

    Attributes:
        tensor: `[rows, hidden]`, sharded or not.
        first: the first of them, of this process's share.
        stop: behind the last.
    """

    tensor: Tensor
    first: int
    stop: int

    def values(self) -> Tensor:
        """Return a view `[stop - first, hidden]`. Taken anew for every use: sharding may move what it looks at."""
        return _local(self.tensor)[self.first : self.stop]


def find_code_rows(model: Any, first: int, count: int) -> list[CodeRows]:
    """Find the code tokens' rows among what learns: in embedding and head, or where PEFT keeps them by themselves.

    Args:
        model: as it is optimized, wrapped or not, sharded or not.
        first: the token id of the first level's code 0.
        count: code tokens over all levels.
    """
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    # Of their own: PEFT's wrapper computes a `weight`. Tied tables are one tensor.
    tables = {id(weight): weight for module in modules for weight in module.parameters(recurse=False)}
    found = [_rows_of(table, first, count) for table in tables.values() if table.requires_grad]
    for name, weight in model.named_parameters():
        if weight.requires_grad and _ROWS_ALONE in name:
            found.append(CodeRows(weight, 0, len(_local(weight))))
    return found


def _rows_of(table: Tensor, first: int, count: int) -> CodeRows:
    if not isinstance(table, DTensor):
        return CodeRows(table, first, first + count)
    wanted = torch.zeros(len(table), 1, device=table.device)
    wanted[first : first + count] = 1
    mine = _local(distribute_tensor(wanted, table.device_mesh, table.placements)).flatten().nonzero().flatten().tolist()
    return CodeRows(table, mine[0], mine[-1] + 1) if mine else CodeRows(table, 0, 0)


def _local(tensor: Tensor) -> Tensor:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()


@contextmanager
def scaled_update(found: Sequence[CodeRows], factor: float) -> Iterator[None]:
    """Take the update that an optimizer makes inside `factor` times over, in these rows."""
    before = [rows.values().clone() for rows in found]
    yield
    for rows, old in zip(found, before, strict=True):
        values = rows.values()
        values.copy_(old.lerp(values, factor))
