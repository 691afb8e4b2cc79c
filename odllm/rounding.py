"""What rounding to few bits does to a model, without an export: weights replaced by the numbers they are rounded to.

The rounding is the exporter's own (`odllm_export.quantize`), factors balanced as it balances them, so that what is
evaluated is what is exported, activations aside: those stay float32 here. Three bits, which no operator of the export
takes, are rounded in the same manner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compression.lowrank import LowRankLinear, projection_names
from odllm_export.errors import ExportError
from odllm_export.graph.storage import to_half
from odllm_export.precision import PRECISIONS, Precision
from odllm_export.quantize import balance, restore_blocks, restore_columns, round_blocks, round_columns

Float = NDArray[np.float32]

_SCALE_BYTES = 4

ROUNDINGS: dict[str, Precision] = PRECISIONS | {
    f"int3-block{block}": Precision(
        f"int3-block{block}", "blocks", 3, block, 1, f"3-bit weights, a scale for {block} inputs; not exported"
    )
    for block in (32, 64, 128)
}
"""What weights can be rounded to, by name: what the export can store, and three bits."""


def find_rounding(name: str) -> Precision:
    """Return a rounding by name.

    Raises:
        ExportError: there is none of that name.
    """
    if name not in ROUNDINGS:
        raise ExportError(f"rounding {name!r} is not one of {', '.join(ROUNDINGS)}")
    return ROUNDINGS[name]


def round_model(model: nn.Module, rounding: str, *, tables: bool = False) -> None:
    """Round the projections of a dense or low-rank model in place.

    Args:
        model: of the LLaMA family.
        rounding: a name of `ROUNDINGS`.
        tables: round embedding and head too, as the export does; GPTQ and its kind leave them.

    Raises:
        ExportError: there is no such rounding.
        TensorError: a weight is beyond half precision's range (fp16).
        UnsupportedModelError: the model has no `model.layers`.
    """
    precision = find_rounding(rounding)
    with torch.no_grad():
        for factors in _factored(model):
            _balance(factors)
        for name, linear in _matrices(model, tables=tables):
            rounded = rounded_matrix(linear.weight.detach().float().numpy().T, precision, name)
            linear.weight.copy_(torch.from_numpy(rounded.T))


def bytes_of(model: nn.Module, rounding: str, *, tables: bool = False) -> int:
    """Return the bytes that the matrices of `round_model` take when they are stored so, scales included.

    Raises:
        ExportError: there is no such rounding.
    """
    precision = find_rounding(rounding)
    shapes = [linear.weight.shape for _, linear in _matrices(model, tables=tables)]
    return sum(_stored_bytes(outputs, inputs, precision) for outputs, inputs in shapes)


def sparse_bytes(model: nn.Module) -> int:
    """Return the bytes of the projections where only what is not zero is stored, as float32 and one bit a weight."""
    weights = [linear.weight for _, linear in _matrices(model, tables=False)]
    return sum(4 * int(weight.count_nonzero()) + -(-weight.numel() // 8) for weight in weights)


def rounded_matrix(matrix: Float, precision: Precision, name: str = "matrix") -> Float:
    """Return what a matrix `[in, out]` is worth after rounding, of the same shape.

    Raises:
        TensorError: an entry is beyond half precision's range (fp16).
    """
    if precision.kind == "fp32":
        return matrix
    if precision.kind == "fp16":
        return to_half(matrix, name).astype(np.float32)
    if precision.kind == "blocks":
        values, scales = round_blocks(matrix, precision.bits, precision.block)
        return restore_blocks(values, scales, precision.bits, len(matrix))
    return restore_columns(*round_columns(matrix))


def _stored_bytes(outputs: int, inputs: int, precision: Precision) -> int:
    """Return the bytes of one matrix; the last block of its inputs is filled up."""
    if precision.kind in ("fp32", "fp16"):
        return inputs * outputs * precision.bits // 8
    if precision.kind == "blocks":
        blocks = -(-inputs // precision.block)
        return outputs * blocks * (precision.block * precision.bits // 8 + _SCALE_BYTES)
    return outputs * (inputs + _SCALE_BYTES)


def _matrices(model: nn.Module, *, tables: bool) -> Iterator[tuple[str, Any]]:
    """Yield the modules that are rounded, each once, by name: projections, both factors of those that are factored."""
    seen: set[int] = set()
    names = [*projection_names(model), *(("model.embed_tokens", "lm_head") if tables else ())]
    for name in names:
        module = model.get_submodule(name)
        parts = [module.input_factor, module.output_factor] if isinstance(module, LowRankLinear) else [module]
        for part in parts:
            if id(part.weight) not in seen:
                seen.add(id(part.weight))
                yield name, part


def _factored(model: nn.Module) -> list[list[LowRankLinear]]:
    """Return the factored projections, those that share an input factor together."""
    groups: dict[int, list[LowRankLinear]] = {}
    for name in projection_names(model):
        if isinstance(layer := model.get_submodule(name), LowRankLinear):
            groups.setdefault(id(layer.input_factor.weight), []).append(layer)
    return list(groups.values())


def _balance(layers: list[LowRankLinear]) -> None:
    """Balance the input factor of some projections with all of their output factors."""
    outputs = torch.cat([layer.output_factor.weight for layer in layers])
    input_factor, output_factor = balance(layers[0].input_factor.weight.numpy(), outputs.numpy())
    layers[0].input_factor.weight.copy_(torch.from_numpy(input_factor))
    parts = torch.from_numpy(output_factor).split([layer.out_features for layer in layers])
    for layer, part in zip(layers, parts, strict=True):
        layer.output_factor.weight.copy_(part)
