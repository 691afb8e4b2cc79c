"""What weights take in an exported bundle, in bytes: values and scales, as `odllm_export` stores them."""

from __future__ import annotations

from typing import Any

from compression.allocation import RankPlan
from compression.costs import MatrixCosts
from compression.lowrank import members
from odllm_export.precision import Precision

_SCALE_BYTES = 4
_FLOAT32_BYTES = 4


def matrix_bytes(precision: Precision, inputs: int, outputs: int) -> int:
    """Return the bytes of one stored matrix `[inputs, outputs]` with its scales."""
    if precision.kind == "blocks":
        blocks = -(-inputs // precision.block)  # the last one is filled up
        return outputs * blocks * (precision.block * precision.bits // 8 + _SCALE_BYTES)
    scales = _SCALE_BYTES * outputs if precision.kind.startswith("int8") else 0
    return inputs * outputs * precision.bits // 8 + scales


def byte_costs(precision: Precision) -> MatrixCosts:
    """Return the costs of a budget of bytes at a precision."""
    return MatrixCosts("bytes", lambda inputs, outputs: matrix_bytes(precision, inputs, outputs))


def model_bytes(model: Any, plan: RankPlan, precision: Precision) -> int:
    """Return the bytes of all weights of a dense model under a plan, embedding and head included, norms as float32.

    The exporter also cuts vocabulary rows that no prompt can contain, so a bundle may be smaller.

    Args:
        model: whose parameters' shapes are looked at, on any device.
        plan: ranks of its projections.
        precision: of everything but vectors.
    """
    projections = {f"{member}.weight" for name in plan.shapes for member in members(name)}
    total = plan.cost(byte_costs(precision))
    for name, parameter in model.named_parameters():  # tied ones come once
        if name not in projections:
            shape = parameter.shape
            total += matrix_bytes(precision, shape[1], shape[0]) if len(shape) == 2 else _FLOAT32_BYTES * shape.numel()
    return int(total)
