"""QDQ: int8 weights behind DequantizeLinear, activations in QuantizeLinear/DequantizeLinear pairs with fixed ranges.

Processors that compute in integers only want to know every range before they run. Ranges are those of the inputs and
outputs of each product, collected by `odllm_export.calibration` over histories.

Linears run on 8 bits, the head on 16: a score is a difference of logits, and 255 steps are too few for it.
Norms, attention and the residual stream stay in floating point, which such processors run in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from odllm_export.graph.builder import GraphBuilder
from odllm_export.graph.storage import MICROSOFT, Float, Stored
from odllm_export.quantize import round_columns

_LINEAR, _HEAD = np.uint8, np.uint16
_SUFFIX, _ZEROS = ".int8", ".zero_point"


class Range(NamedTuple):
    """The smallest and the largest value of a tensor."""

    low: float
    high: float


Ranges = Mapping[str, tuple[Range, Range]]
"""By a matrix's name: the ranges of what it is multiplied with and of the product."""


def embedding_rows(body: GraphBuilder, ids: str, table: Stored) -> str:
    """Return the rows `ids [1, tokens]` of a table `[rows, width]`, with a scale a row if it has scales."""
    rows = body.op("Gather", table.values, ids, axis=0)  # [1, tokens, width]
    if not table.scales:
        return rows
    scale = body.op("Unsqueeze", body.op("Gather", table.scales, ids, axis=0), body.constant([2]))
    return body.op("Mul", body.op("Cast", rows, to=TensorProto.FLOAT), scale)


@dataclass
class Qdq:
    """Storage of precision `int8-qdq`."""

    ranges: Ranges

    def matrix(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        """Stream `[in, out]` with a scale a column."""
        return _stored(graph, name, value, transposed=False)

    def table(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        """Stream `[rows, width]` with a scale a row."""
        return _stored(graph, name, value.T, transposed=True)

    def multiply(self, body: GraphBuilder, x: str, matrix: Stored) -> str:
        """Return `x [..., in] @ matrix`, both sides of the product rounded."""
        before, after = self._ranges_of(matrix)
        y = body.op("MatMul", _rounded(body, x, before, _LINEAR), _restored(body, matrix, axis=1))
        return _rounded(body, y, after, _LINEAR)

    def lookup(self, body: GraphBuilder, ids: str, table: Stored) -> str:
        """Return the rows `ids [tokens]` of a table, `[1, tokens, width]`."""
        return embedding_rows(body, body.row(ids), table)

    def project(self, body: GraphBuilder, x: str, table: Stored) -> str:
        """Return `x [tokens, width]` times every row of a table, `[tokens, rows]`."""
        before, after = self._ranges_of(table)
        y = body.op("Gemm", _rounded(body, x, before, _HEAD), _restored(body, table, axis=0), transB=1)
        return _rounded(body, y, after, _HEAD)

    def _ranges_of(self, stored: Stored) -> tuple[Range, Range]:
        return self.ranges[stored.values.removesuffix(_SUFFIX)]


def _stored(graph: GraphBuilder, name: str, value: Float, *, transposed: bool) -> Stored:
    rounded, scale = round_columns(value)
    stored = graph.weight(f"{name}{_SUFFIX}", rounded.T if transposed else rounded)
    # One a matrix, though all are zero: the runtime rewrites weights for some processors and takes them for its own.
    graph.weight(f"{stored}{_ZEROS}", np.zeros(len(scale), np.int8))
    return Stored(stored, graph.weight(f"{name}.scale", scale), (value.shape[0], value.shape[1]))


def _restored(body: GraphBuilder, stored: Stored, axis: int) -> str:
    return body.op("DequantizeLinear", stored.values, stored.scales, f"{stored.values}{_ZEROS}", axis=axis)


def _rounded(body: GraphBuilder, x: str, values: Range, dtype: type[np.unsignedinteger]) -> str:
    """Return `x` rounded to the steps of a range; 0 is always one of them."""
    steps = np.iinfo(dtype).max
    low, high = min(values.low, 0.0), max(values.high, 0.0)
    scale = (high - low) / steps or 1.0
    parameters = body.constant(scale, np.float32), body.constant(round(-low / scale), dtype)
    # 16 bits are in the standard operators from opset 21 on only; runtimes have had them in this domain for longer.
    domain = {"domain": MICROSOFT} if dtype is np.uint16 else {}
    rounded = body.op("QuantizeLinear", x, *parameters, **domain)
    return body.op("DequantizeLinear", rounded, *parameters, **domain)
