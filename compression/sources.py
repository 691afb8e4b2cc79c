"""Where the blocks of a model are while they are compressed: in memory, or on disk (`compression.streaming`)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import nn


class BlockSource(Protocol):
    """A model whose parts have values only while they are open."""

    @property
    def model(self) -> Any:
        """The causal language model; what is not open may be on the device `meta`."""

    @property
    def device(self) -> torch.device:
        """Where open parts are."""

    def open_embedding(self) -> AbstractContextManager[Any]:
        """Return the model, with an embedding that has values."""

    def open_block(self, block: int) -> AbstractContextManager[nn.Module]:
        """Return a block of the model, with values; projections that are replaced inside stay replaced."""

    def stored_dtype(self, projection: str) -> torch.dtype:
        """Return the dtype in which a projection's factors will be stored."""

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield all tensors by name, one at a time."""


class ModelBlocks:
    """A model that is in memory as a whole, and is compressed in place."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.model.embed_tokens.weight.device
        return device

    def open_embedding(self) -> AbstractContextManager[Any]:
        """Return the model."""
        return nullcontext(self.model)

    def open_block(self, block: int) -> AbstractContextManager[nn.Module]:
        """Return a block."""
        return nullcontext(self.model.model.layers[block])

    def stored_dtype(self, projection: str) -> torch.dtype:
        """Return the model's own dtype."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield all tensors by name."""
        yield from self.model.state_dict().items()


def sharing_copy(block: nn.Module) -> nn.Module:
    """Return a block of its own modules but the same parameters: replacing a module in one leaves the other whole."""
    return copy.deepcopy(block, {id(parameter): parameter for parameter in block.parameters()})
