"""Second moments of what a group of projections reads: sums over batches in float64, padding left out.

Two streams run side by side: X behind the dense blocks, X′ behind the already compressed ones (and, inside
the block, behind its already compressed projections). One group's moments are in memory at a time, and no forward
pass is repeated but, where its inputs to the half's last projection are not kept, that of the shifted stream behind the
half of a block that has just been compressed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from compression.blocks import BlockInputs, Half, half_output, half_output_and_inputs, last_inputs, normalized
from compression.errors import CalibrationError
from compression.importance import OutputRoot
from compression.moment_sum import ROWS_AT_ONCE, MomentSum, at_least
from compression.processes import sum_over_processes


@dataclass(frozen=True)
class Moments:
    """Means over tokens, float64; x is a token's dense input, x′ its shifted one, p the output that is aimed at.

    p is W x of the dense model, and the drift h − h′ of the residual stream on top where that is repaired. Where
    several projections read the same input it follows from the cross moment of the inputs; where one does, its own
    moment is smaller.

    Attributes:
        tokens: how many were counted.
        shifted: E[x′ x′ᵀ] `[n, n]`.
        dense: E[x xᵀ] `[n, n]`; None where nothing asks for it.
        cross: E[x x′ᵀ] `[n, n]`; None where `output_cross` is there.
        output_cross: E[p x′ᵀ] `[m, n]`; None where `cross` is there.
        output_energy: E‖p‖²; only beside `output_cross`.
    """

    tokens: int
    shifted: torch.Tensor
    dense: torch.Tensor | None = None
    cross: torch.Tensor | None = None
    output_cross: torch.Tensor | None = None
    output_energy: float = 0.0

    def aim(self, weight: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Return E[p x′ᵀ] `[m, n]` and E‖p‖² of a projection of dense weight W `[m, n]` float64.

        For weighed outputs Rᵀp, W is Rᵀ times the dense weight; where `output_cross` is there it is weighed already.
        """
        if self.output_cross is not None:
            return self.output_cross, self.output_energy
        assert self.cross is not None
        assert self.dense is not None
        return weight @ self.cross, float(((weight @ self.dense) * weight).sum())


@dataclass
class Streams:
    """Hidden states of all calibration batches in front of the current half of a block; changed in place.

    What lives through the run must not move: between the temporaries of every batch it would tear the heap to pieces.

    Attributes:
        inputs: mask and positions of each batch.
        dense: `[batch, tokens, hidden]` each, behind the dense blocks.
        shifted: the same behind the compressed blocks.
        last: what the current half's last projection reads of `shifted`, where it was kept.
    """

    inputs: list[BlockInputs]
    dense: list[torch.Tensor]
    shifted: list[torch.Tensor]
    last: list[torch.Tensor] = field(default_factory=list)

    def advance_dense(self, block: nn.Module, half: Half) -> None:
        """Move the dense stream behind a half, batch by batch."""
        _advance(self.dense, self.inputs, block, half)

    def advance_shifted(self, block: nn.Module, half: Half) -> None:
        """Move the shifted stream behind a half, batch by batch; what was kept of it is used up."""
        if not self.last:
            _advance(self.shifted, self.inputs, block, half)
            return
        projection = block.get_submodule(half.writes.projections[0])
        for states in self.shifted:
            states.add_(projection(self.last.pop(0)))


def _advance(states: list[torch.Tensor], inputs: list[BlockInputs], block: nn.Module, half: Half) -> None:
    for i, others in enumerate(inputs):
        states[i].add_(half_output(block, half, states[i], others))


def input_moments(
    streams: Streams,
    dense_block: nn.Module,
    shifted_block: nn.Module,
    half: Half,
    *,
    block_name: str,
    products: torch.dtype = torch.float64,
) -> Moments:
    """Return the moments of the projections that read a half's normalised stream, over all calibration batches.

    Args:
        streams: hidden states in front of the half.
        dense_block: the block as it was.
        shifted_block: the block with its already compressed projections.
        half: which half.
        block_name: full name of the block, for messages.
        products: what products are taken in (`compression.moment_sum.product_dtype`); sums are float64.

    Raises:
        CalibrationError: an activation is NaN or infinite; the message names the layer.

    Source: OD-LLM step 1; the shifted inputs of its progressive alignment.
    """
    hidden, device = streams.dense[0].shape[-1], streams.dense[0].device
    sums = {name: MomentSum(hidden, None, device) for name in ("dense", "shifted")} | {
        "cross": MomentSum(hidden, hidden, device)
    }
    tokens = 0
    for number, inputs in enumerate(streams.inputs):
        x = inputs.tokens_of(normalized(dense_block, half, streams.dense[number]))  # [tokens, n]
        shifted = inputs.tokens_of(normalized(shifted_block, half, streams.shifted[number]))
        tokens += len(x)
        for start in range(0, len(x), ROWS_AT_ONCE):
            left, right = (at_least(rows[start : start + ROWS_AT_ONCE], products) for rows in (x, shifted))
            sums["dense"].add(left)
            sums["shifted"].add(right)
            sums["cross"].add(left, right)
        if not _finite(sums):
            where = f"at {block_name}.{half.reads.projections[0]}"
            _name_what_is_not_finite({f"dense inputs {where}": x, f"compressed inputs {where}": shifted}, number)
    count, _ = _sum_over_processes(sums, tokens)
    means = {name: part.mean(count) for name, part in sums.items()}
    return Moments(count, means["shifted"], means["dense"], cross=means["cross"])


def output_moments(
    streams: Streams,
    dense_block: nn.Module,
    shifted_block: nn.Module,
    half: Half,
    *,
    block_name: str,
    dense: bool,
    residual: bool,
    root: OutputRoot | None = None,
    products: torch.dtype = torch.float64,
    keep: bool = False,
) -> Moments:
    """Return the moments of a half's last projection, and move the dense stream behind the half on the way.

    Args:
        streams: hidden states in front of the half.
        dense_block: the block as it was.
        shifted_block: the block with its already compressed projections; the last one is still dense.
        half: which half.
        block_name: full name of the block, for messages.
        dense: whether E[x xᵀ] is wanted.
        residual: whether the target repairs the drift of the residual stream.
        root: R of the output's importance: the moments are those of Rᵀp.
        products: as `input_moments`.
        keep: keep what the projection reads of the shifted stream, so that nothing in front of it has to run again.

    Raises:
        CalibrationError: an activation is NaN or infinite; the message names the layer.
    """
    projection = half.writes.projections[0]
    linear: Any = dense_block.get_submodule(projection)
    (rows, columns), device = linear.weight.shape, streams.dense[0].device
    sums = {"shifted": MomentSum(columns, None, device), "output_cross": MomentSum(rows, columns, device)}
    if dense:
        sums["dense"] = MomentSum(columns, None, device)
    tokens, energy = 0, 0.0
    for number, inputs in enumerate(streams.inputs):
        before = streams.dense[number]
        output, x = half_output_and_inputs(dense_block, half, before, inputs)
        shifted = last_inputs(shifted_block, half, streams.shifted[number], inputs)
        if keep:
            streams.last.append(shifted)
        x, shifted = inputs.tokens_of(x), inputs.tokens_of(shifted)  # [tokens, n]
        aim = output if linear.bias is None else output - linear.bias
        if residual:
            aim = aim + (before - streams.shifted[number])
        aim = inputs.tokens_of(aim)  # [tokens, m]
        before.add_(output)
        tokens += len(x)
        energy += _add_outputs(sums, x, shifted, aim, root, products)
        if not _finite(sums, energy):
            where = f"{block_name}.{projection}"
            _name_what_is_not_finite(
                {f"dense inputs at {where}": x, f"compressed inputs at {where}": shifted, f"outputs of {where}": aim},
                number,
            )
    count, total = _sum_over_processes(sums, tokens, energy)
    means = {name: part.mean(count) for name, part in sums.items()}
    cross = means.pop("output_cross")
    return Moments(
        count,
        means["shifted"],
        means.get("dense"),
        output_cross=cross if root is None else root.weigh(cross.mT).mT,  # E[Rᵀp x′ᵀ]
        output_energy=total / count,
    )


def _add_outputs(
    sums: dict[str, MomentSum],
    x: torch.Tensor,
    shifted: torch.Tensor,
    aim: torch.Tensor,
    root: OutputRoot | None,
    products: torch.dtype,
) -> float:
    """Add a batch's tokens, `[tokens, n]` read and `[tokens, m]` aimed at, to the sums; return the targets' energy."""
    energy = 0.0
    for start in range(0, len(x), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        right, target = at_least(shifted[part], products), at_least(aim[part], products)
        sums["shifted"].add(right)
        sums["output_cross"].add(target, right)
        energy += _energy(target, root)
        if "dense" in sums:
            sums["dense"].add(at_least(x[part], products))
    return energy


def _energy(targets: torch.Tensor, root: OutputRoot | None) -> float:
    """Return Σ‖p‖² of rows p `[tokens, m]`, or Σ‖Rᵀp‖²."""
    weighed = targets if root is None else root.to(targets.dtype).weigh(targets)
    return float(torch.linalg.vector_norm(weighed, dtype=torch.float64)) ** 2


def _sum_over_processes(sums: dict[str, MomentSum], tokens: int, energy: float = 0.0) -> tuple[int, float]:
    """Add up what all processes have counted; return tokens and energy of all."""
    for part in sums.values():
        sum_over_processes(part.total)
    scalars = torch.tensor([tokens, energy], dtype=torch.float64, device=sums["shifted"].total.device)
    sum_over_processes(scalars)
    return int(scalars[0]), float(scalars[1])


def _finite(sums: dict[str, MomentSum], energy: float = 0.0) -> bool:
    """Whether everything so far was: what is not shows in a sum of squares."""
    squares = [part.total.diagonal() for part in sums.values() if part.symmetric]
    return math.isfinite(energy) and all(bool(torch.isfinite(values).all()) for values in squares)


def _name_what_is_not_finite(rows: dict[str, torch.Tensor], batch: int) -> None:
    bad = [name for name, values in rows.items() if not bool(torch.isfinite(values).all())]
    raise CalibrationError(
        f"NaN or infinite activations in calibration batch {batch}: {bad[0] if bad else 'their squares overflow'}. "
        "Check the weights there and in front of it, or compute in float32."
    )
