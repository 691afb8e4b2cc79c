"""Second moments of what a group of projections reads: sums over batches in float64, padding left out.

Two streams run side by side: X behind the dense blocks, X′ behind the already compressed ones (and, inside
the block, behind its already compressed projections). One group's moments are in memory at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from compression.blocks import BlockInputs, Captured, capture, run_block
from compression.errors import CalibrationError
from compression.lowrank import ProjectionGroup


@dataclass(frozen=True)
class Energies:
    """Mean over tokens of products of a projection's dense target P and its shifted output Q = W X′.

    P is W X, plus the drift H − H′ of the residual stream where that is repaired too.
    """

    dense: float
    mixed: float
    shifted: float

    def blended(self, alpha: float) -> float:
        """Mean ‖α·P + (1−α)·Q‖² a token."""
        return alpha**2 * self.dense + 2 * alpha * (1 - alpha) * self.mixed + (1 - alpha) ** 2 * self.shifted


@dataclass(frozen=True)
class Moments:
    """Means over tokens, float64; x is a token's dense input, x′ its shifted one.

    Attributes:
        tokens: how many were counted.
        shifted: E[x′ x′ᵀ] `[n, n]`.
        cross: E[x x′ᵀ] `[n, n]`.
        dense: E[x xᵀ] `[n, n]`, None where nothing asks for it.
        drift: E[(h − h′) x′ᵀ] `[hidden, n]`, h the residual stream; None where it is not repaired.
        energies: by projection.
    """

    tokens: int
    shifted: torch.Tensor
    cross: torch.Tensor
    dense: torch.Tensor | None
    drift: torch.Tensor | None
    energies: dict[str, Energies]


@dataclass
class Streams:
    """Hidden states of all calibration batches in front of the current block.

    Attributes:
        inputs: mask and positions of each batch.
        dense: `[batch, tokens, hidden]` each, behind the dense blocks.
        shifted: the same behind the compressed blocks.
    """

    inputs: list[BlockInputs]
    dense: list[torch.Tensor]
    shifted: list[torch.Tensor]

    def advance(self, dense_block: nn.Module, shifted_block: nn.Module) -> None:
        """Move both streams behind a block, in place, batch by batch."""
        for i, inputs in enumerate(self.inputs):
            self.dense[i] = run_block(dense_block, self.dense[i], inputs)
            self.shifted[i] = run_block(shifted_block, self.shifted[i], inputs)


class _Sums:
    """Running float64 sums of one group."""

    def __init__(self, group: ProjectionGroup) -> None:
        self.tokens = 0
        self.matrices: dict[str, torch.Tensor] = {}
        self.energies = {name: [0.0, 0.0, 0.0] for name in group.projections}

    def add(self, name: str, left: torch.Tensor, right: torch.Tensor) -> None:
        product = left.mT @ right
        if name in self.matrices:
            self.matrices[name] += product
        else:
            self.matrices[name] = product

    def add_energies(self, name: str, target: torch.Tensor, output: torch.Tensor) -> None:
        sums = self.energies[name]
        target, output = target.double().flatten(), output.double().flatten()
        for i, (left, right) in enumerate(((target, target), (target, output), (output, output))):
            sums[i] += float(torch.dot(left, right))

    def finite(self) -> bool:
        """Whether everything so far was: a NaN or infinite input or output shows in the energies."""
        return all(math.isfinite(value) for sums in self.energies.values() for value in sums)

    def means(self) -> Moments:
        matrices = {name: matrix / self.tokens for name, matrix in self.matrices.items()}
        energies = {name: Energies(*(value / self.tokens for value in sums)) for name, sums in self.energies.items()}
        return Moments(
            self.tokens,
            matrices["shifted"],
            matrices["cross"],
            matrices.get("dense"),
            matrices.get("drift"),
            energies,
        )


def collect_moments(
    streams: Streams,
    dense_block: nn.Module,
    shifted_block: nn.Module,
    group: ProjectionGroup,
    *,
    block_name: str,
    dense: bool,
    residual: bool,
) -> Moments:
    """Return the moments of one group of projections over all calibration batches.

    Args:
        streams: hidden states in front of the block.
        dense_block: the block as it was.
        shifted_block: the block with its already compressed projections; the group's own are still dense.
        group: which projections.
        block_name: full name of the block, for messages.
        dense: whether E[x xᵀ] is wanted.
        residual: whether the target repairs the residual stream, where the group's output reaches it.

    Raises:
        CalibrationError: an activation is NaN or infinite; the message names the layer.

    Source: OD-LLM step 1; the shifted inputs of its progressive alignment.
    """
    sums = _Sums(group)
    for number, inputs in enumerate(streams.inputs):
        original = capture(dense_block, group, streams.dense[number], inputs, residual=residual)
        current = capture(shifted_block, group, streams.shifted[number], inputs, residual=residual)
        _add(sums, original, current, dense=dense)
        if not sums.finite():
            for captured, stream in ((original, "dense"), (current, "compressed")):
                _name_what_is_not_finite(captured, group, f"{stream} model, batch {number}", block_name)
    return sums.means()


def _add(sums: _Sums, original: Captured, current: Captured, *, dense: bool) -> None:
    x, shifted = original.inputs.double(), current.inputs.double()  # [tokens, n] each
    sums.tokens += len(shifted)
    sums.add("shifted", shifted, shifted)
    sums.add("cross", x, shifted)
    if dense:
        sums.add("dense", x, x)
    drift: torch.Tensor | None = None
    if original.residual is not None and current.residual is not None:
        drift = original.residual.double() - current.residual.double()  # [tokens, hidden]
        sums.add("drift", drift, shifted)
    for name, output in original.outputs.items():
        target = output if drift is None else output + drift
        sums.add_energies(name, target, current.outputs[name])


def _name_what_is_not_finite(captured: Captured, group: ProjectionGroup, where: str, block_name: str) -> None:
    if not bool(torch.isfinite(captured.inputs).all()):
        raise CalibrationError(
            f"NaN or infinite inputs at {block_name}.{group.projections[0]} ({where}). "
            "Check the weights in front of it, or load the model in float32."
        )
    if captured.residual is not None and not bool(torch.isfinite(captured.residual).all()):
        raise CalibrationError(
            f"NaN or infinite residual stream at {block_name}.{group.residual} ({where}). "
            "Check the weights in front of it, or load the model in float32."
        )
    for name, output in captured.outputs.items():
        if not bool(torch.isfinite(output).all()):
            raise CalibrationError(
                f"NaN or infinite outputs of {block_name}.{name} ({where}). "
                "Check its weights, or load the model in float32."
            )
