"""What all projections of a model read, summed up while the model runs anyway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from compression.blocks import hooked, kept_rows
from compression.lowrank import GROUPS
from compression.moment_sum import MomentSum


class InputSums:
    """Σ x xᵀ of what every group of projections of a model reads, taken while the model runs for another reason.

    Float32, so that all blocks at once take half the memory: enough for spectra whose covariances are shrunk
    (`compression.moment_sum.product_dtype`).

    Args:
        model: a dense causal language model.
    """

    def __init__(self, model: Any) -> None:
        self._first = {
            (index, group.name): module.get_submodule(group.projections[0])
            for index, module in enumerate(model.model.layers)
            for group in GROUPS
        }
        self._sums = {
            key: MomentSum(linear.in_features, None, linear.weight.device, torch.float32)
            for key, linear in self._first.items()
        }

    @contextmanager
    def reading(self, keep: torch.Tensor) -> Iterator[None]:
        """Add what is read while the model runs once, but for the padding: where `keep` `[batch, tokens]` is false."""

        def hook(key: tuple[int, str]) -> Any:
            def add(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
                self._sums[key].add(kept_rows(args[0].detach(), keep).float())

            return add

        with hooked((linear, hook(key)) for key, linear in self._first.items()):
            yield

    def take(self, block: int) -> dict[str, MomentSum]:
        """Return a block's sums by group in float64, and forget them."""
        sums = {}
        for group in GROUPS:
            sums[group.name] = self._sums.pop((block, group.name))
            sums[group.name].total = sums[group.name].total.double()
        return sums
