"""QDQ: int8 weights behind DequantizeLinear, activations in QuantizeLinear/DequantizeLinear pairs with fixed ranges.

Processors that compute in integers only want to know every range before they run. Ranges are those of the inputs and
outputs of each product, collected by `odllm_export.calibration` over histories.

Linears run on 8 or 16 bits, the head always on 16: a score is a difference of logits, and 255 steps are too few for it.
Norms, attention and the residual stream stay in floating point, which such processors run in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from odllm_export.graph.builder import GraphBuilder
from odllm_export.graph.storage import MICROSOFT, Float, Stored, to_half
from odllm_export.graph.weights import EMBEDDING
from odllm_export.quantize import round_columns

_SUFFIX, _ZEROS, _HALF = ".int8", ".zero_point", ".fp16"


class Range(NamedTuple):
    """The smallest and the largest value of a tensor."""

    low: float
    high: float


Ranges = Mapping[str, tuple[Range, Range]]
"""By a matrix's name: the ranges of what it is multiplied with and of the product."""


def embedding_rows(body: GraphBuilder, ids: str, table: Stored) -> str:
    """Return the rows `ids [1, tokens]` of a table `[rows, width]`."""
    if not table.scales:
        return body.op("Gather", table.values, ids, axis=0)  # [1, tokens, width]
    rows = body.op("Gather", f"{_name_of(table)}{_HALF}", ids, axis=0)
    return body.op("Cast", rows, to=TensorProto.FLOAT)


@dataclass
class Qdq:
    """Storage of precisions `int8-qdq` and `int8-qdq16`.

    Attributes:
        ranges: of the activations.
        activation_bits: of the linears, 8 or 16.
    """

    ranges: Ranges
    activation_bits: int

    def matrix(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        """Stream `[in, out]` with a scale a column."""
        rounded, scale = round_columns(value)
        stored = graph.weight(f"{name}{_SUFFIX}", rounded)
        # One a matrix, though all are zero: where the runtime rewrites weights, it takes a zero point for its own.
        graph.weight(f"{stored}{_ZEROS}", np.zeros(len(scale), np.int8))
        return Stored(stored, graph.weight(f"{name}.scale", scale), (value.shape[0], value.shape[1]))

    def table(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        """Stream `[rows, width]` for what it serves as: rows in half precision, a head as a matrix.

        Processors that gather from int8 with a scale a row are not to be found.
        """
        if name == EMBEDDING:
            graph.weight(f"{name}{_HALF}", to_half(value, name))
        if name in self.ranges:
            return self.matrix(graph, name, value.T)
        return Stored(f"{name}{_SUFFIX}", f"{name}.scale", (value.shape[1], value.shape[0]))

    def multiply(self, body: GraphBuilder, x: str, matrix: Stored) -> str:
        """Return `x [..., in] @ matrix`, both sides of the product rounded."""
        return self._product(body, x, matrix, np.uint8 if self.activation_bits == 8 else np.uint16)

    def lookup(self, body: GraphBuilder, ids: str, table: Stored) -> str:
        """Return the rows `ids [tokens]` of a table, `[1, tokens, width]`."""
        return embedding_rows(body, body.row(ids), table)

    def project(self, body: GraphBuilder, x: str, table: Stored) -> str:
        """Return `x [tokens, width]` times every row of a table, `[tokens, rows]`."""
        return self._product(body, x, table, np.uint16)

    def _product(self, body: GraphBuilder, x: str, matrix: Stored, dtype: type[np.unsignedinteger]) -> str:
        before, after = self.ranges[_name_of(matrix)]
        restored = body.op(
            "DequantizeLinear", matrix.values, matrix.scales, f"{matrix.values}{_ZEROS}", axis=1, **_domain(dtype)
        )
        return _rounded(body, body.op("MatMul", _rounded(body, x, before, dtype), restored), after, dtype)


def _name_of(stored: Stored) -> str:
    return stored.values.removesuffix(_SUFFIX)


def _rounded(body: GraphBuilder, x: str, values: Range, dtype: type[np.unsignedinteger]) -> str:
    """Return `x` rounded to the steps of a range; 0 is always one of them."""
    steps = np.iinfo(dtype).max
    low, high = min(values.low, 0.0), max(values.high, 0.0)
    scale = (high - low) / steps or 1.0
    parameters = body.constant(scale, np.float32), body.constant(round(-low / scale), dtype)
    rounded = body.op("QuantizeLinear", x, *parameters, **_domain(dtype))
    return body.op("DequantizeLinear", rounded, *parameters, **_domain(dtype))


def _domain(dtype: type[np.unsignedinteger]) -> dict[str, str]:
    """Return where the operators are: 16 bits are standard from opset 21 on, runtimes have had theirs for longer."""
    return {"domain": MICROSOFT} if dtype is np.uint16 else {}
