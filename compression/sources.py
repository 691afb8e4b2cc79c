"""Where the blocks of a model are while they are compressed: in memory, or on disk (`compression.streaming`)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import nn

from compression.lowrank import INPUT_FACTOR, LowRankLinear, factored_linears, members, replace_linear, shared_inputs


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


def put_layers(source: BlockSource, names: Sequence[str], layers: Sequence[LowRankLinear]) -> None:
    """Replace projections by layers that all read through the first one's input factor."""
    for name, layer in zip(names, layers, strict=True):
        replace_linear(source.model, name, layer.to(source.device))
        if layer is not layers[0]:
            layer.share_input(layers[0])


def factors_of(source: BlockSource, block: int) -> dict[str, torch.Tensor]:
    """Return the factors of a block by name, shared ones once, in the dtype they will be stored in."""
    prefix = f"model.layers.{block}."
    shared = shared_inputs(source.model)
    return {
        f"{name}.{part}": tensor.to(source.stored_dtype(name))
        for name, layer in factored_linears(source.model).items()
        if name.startswith(prefix)
        for part, tensor in layer.state_dict().items()
        if not (part == INPUT_FACTOR and name in shared)
    }


def put_back(source: BlockSource, units: Sequence[str], tensors: dict[str, torch.Tensor]) -> None:
    """Replace the projections of `units` (projections, or stacks of them) by what an earlier run has written."""
    for unit in units:
        names = members(unit)
        layers = [
            LowRankLinear.from_factors(
                tensors[f"{name}.output_factor.weight"],
                tensors[f"{names[0]}.{INPUT_FACTOR}"],
                tensors.get(f"{name}.output_factor.bias"),
            ).to(source.model.get_submodule(name).weight.dtype)
            for name in names
        ]
        put_layers(source, names, layers)
