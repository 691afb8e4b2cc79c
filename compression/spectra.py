"""What every projection would lose at every rank: whitened spectra of the dense model, a block at a time.

A pass of the dense model over the calibration sequences, its own or the one that takes gradients, gives the covariance
C = S Sᵀ of all four inputs of a block; the squared singular values of W S are the energies of W's components for those
inputs, and what is lost at rank r is the sum of those beyond r. Nothing is compressed here, so shifted inputs play no
part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compression.blocks import BlockInputs, embed, hooked, run_block
from compression.calibration import CalibrationBatch, check_batches
from compression.config import CompressionConfig
from compression.errors import CalibrationError
from compression.input_sums import InputSums
from compression.lowrank import GROUPS
from compression.moment_sum import ROWS_AT_ONCE, MomentSum, at_least, product_dtype
from compression.whitening import Whitening, no_whitening, whiten
from odllm_artifact import Progress, silent


@dataclass(frozen=True)
class DenseBlock:
    """One block of the dense model with what its projections read.

    Attributes:
        index: of the block.
        module: the block itself.
        whitenings: of each projection's inputs, by its name inside the block.
    """

    index: int
    module: nn.Module
    whitenings: dict[str, Whitening]


def walk_blocks(
    model: Any,
    batches: Sequence[CalibrationBatch],
    config: CompressionConfig,
    *,
    known: InputSums | None = None,
    progress: Progress = silent,
) -> Iterator[DenseBlock]:
    """Yield the blocks of a dense model in order; one block's covariances are in memory at a time.

    Args:
        model: dense.
        batches: calibration sequences.
        config: how inputs are whitened.
        known: what another pass over all of `batches` has read; used up. None runs the blocks.
        progress: told after every block.

    Raises:
        CalibrationError: no or bad calibration data, or activations that are not finite.
    """
    tokens = check_batches(batches, model.config.vocab_size)
    embedded = [embed(model, batch) for batch in batches if batch.tokens] if known is None else []
    hidden, inputs = [states for states, _ in embedded], [one for _, one in embedded]
    blocks = len(model.model.layers)
    for index, module in enumerate(model.model.layers):
        sums: dict[str, MomentSum] = {} if known is None else known.take(index)
        for number, one in enumerate(inputs):
            with _summing(module, one, sums, product_dtype(config.shrinkage)):
                hidden[number] = run_block(module, hidden[number], one)
        yield DenseBlock(index, module, _whitenings(index, sums, tokens, config))
        progress(index + 1, blocks, f"block {index + 1} of {blocks}")


@contextmanager
def _summing(
    module: nn.Module, inputs: BlockInputs, sums: dict[str, MomentSum], products: torch.dtype
) -> Iterator[None]:
    """Add Σ x xᵀ of every group's inputs to `sums` while the block runs, padding left out."""

    def hook(name: str) -> Any:
        def add(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            x = inputs.tokens_of(args[0])  # [tokens, n]
            if name not in sums:
                sums[name] = MomentSum(x.shape[1], None, x.device)
            for rows in x.split(ROWS_AT_ONCE):
                sums[name].add(at_least(rows, products))

        return add

    with hooked((module.get_submodule(group.projections[0]), hook(group.name)) for group in GROUPS):
        yield


def _whitenings(index: int, sums: dict[str, MomentSum], tokens: int, config: CompressionConfig) -> dict[str, Whitening]:
    whitenings: dict[str, Whitening] = {}
    for group in GROUPS:
        covariance = sums.pop(group.name).mean(tokens)
        if not bool(torch.isfinite(covariance).all()):
            raise CalibrationError(
                f"NaN or infinite inputs at model.layers.{index}.{group.projections[0]} (dense model). "
                "Check the weights in front of it, or load the model in float32."
            )
        if config.normalize:
            made = whiten(covariance, config.shrinkage_of(len(covariance), tokens), described=False)
        else:
            made = no_whitening(covariance)
        whitenings |= dict.fromkeys(group.projections, made)
    return whitenings


def tails(energies: torch.Tensor) -> torch.Tensor:
    """Return the energy beyond rank 0, 1, 2 … for energies `[min(m, n)]` falling, as `[min(m, n) + 1]`."""
    beyond = energies.double().flip(0).cumsum(0).flip(0)
    return torch.cat([beyond, beyond.new_zeros(1)])


def relative_losses(energies: torch.Tensor) -> list[float]:
    """Return the share of a projection's energy that is lost at rank 0, 1, 2 …, for energies `[min(m, n)]` falling."""
    beyond = tails(energies)
    result: list[float] = (beyond / max(float(beyond[0]), 1e-300)).tolist()
    return result
