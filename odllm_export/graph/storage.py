"""How a matrix stands in the graph: stored at some precision, and multiplied.

A *matrix* is `[in, out]` and is multiplied from the right. A *table* is `[rows, width]` and serves as embedding
(rows looked up) and as head (a product with every row) from one stored copy, as tied models share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from odllm_export.errors import ExportError, TensorError
from odllm_export.graph.builder import GraphBuilder
from odllm_export.precision import Precision
from odllm_export.quantize import round_blocks, round_columns

Float = NDArray[np.float32]

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Stored:
    """A matrix or table in the graph: name of its values, name of its scales if it has any, and its `[in, out]`."""

    values: str
    scales: str
    shape: tuple[int, int]


class Storage(Protocol):
    """One precision at work."""

    def matrix(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        """Stream a matrix `[in, out]` to the weights file."""

    def multiply(self, body: GraphBuilder, x: str, matrix: Stored) -> str:
        """Return `x [..., in] @ matrix`."""

    def table(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        """Stream a table `[rows, width]`."""

    def lookup(self, body: GraphBuilder, ids: str, table: Stored) -> str:
        """Return the rows `ids [tokens]` of a table, `[1, tokens, width]`."""

    def project(self, body: GraphBuilder, x: str, table: Stored) -> str:
        """Return `x [tokens, width]` times every row, `[tokens, rows]`."""


def storage_for(precision: Precision) -> Storage:
    """Return the storage of a precision."""
    match precision.kind:
        case "fp32":
            return _Float32()
        case "fp16":
            return _Float16()
        case "int8-dynamic":
            return _Int8()
        case "blocks":
            return _Blocks(precision.bits, precision.block, precision.accuracy_level)
        case "int8-qdq":
            raise ExportError("precision int8-qdq needs the activations' ranges; only form steps collects them")


class _Float32:
    """Weights as they were trained."""

    def matrix(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        return Stored(graph.weight(name, value), "", (value.shape[0], value.shape[1]))

    def multiply(self, body: GraphBuilder, x: str, matrix: Stored) -> str:
        return body.op("MatMul", x, matrix.values)

    def table(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        return Stored(graph.weight(name, value), "", (value.shape[1], value.shape[0]))

    def lookup(self, body: GraphBuilder, ids: str, table: Stored) -> str:
        return body.op("Gather", table.values, body.op("Unsqueeze", ids, body.constant([0])), axis=0)

    def project(self, body: GraphBuilder, x: str, table: Stored) -> str:
        return body.op("Gemm", x, table.values, transB=1)


class _Float16(_Float32):
    """Weights in half precision, made float32 in the outer graph: once, when the runtime folds constants at load."""

    def matrix(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        half = graph.weight(f"{name}.fp16", to_half(value, name))
        return Stored(graph.op("Cast", half, to=TensorProto.FLOAT), "", (value.shape[0], value.shape[1]))

    def table(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        half = graph.weight(f"{name}.fp16", to_half(value, name))
        return Stored(graph.op("Cast", half, to=TensorProto.FLOAT), "", (value.shape[1], value.shape[0]))


class _Int8:
    """Int8 weights with a scale a column; activations rounded with a scale a row, at every call.

    A row's result depends on nothing but the row: neither on the other tokens of the prompt, as it does with one
    scale for the whole tensor (DynamicQuantizeLinear), nor on whether a cache was used. Activations are uint8 around
    128, because runtimes have fast kernels for uint8 times int8.
    """

    def matrix(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        rounded, scale = round_columns(value)
        stored = graph.weight(f"{name}.int8", rounded)
        return Stored(stored, graph.weight(f"{name}.scale", scale), (value.shape[0], value.shape[1]))

    def multiply(self, body: GraphBuilder, x: str, matrix: Stored) -> str:
        largest = body.op("ReduceMax", body.op("Abs", x), body.constant([-1]), keepdims=1)
        # A row of zeros divides by zero and rounds to anything, which the last product turns into zeros again.
        step, middle = _f32(body, 1 / 127), body.constant(128, np.uint8)
        rounded = body.op("QuantizeLinear", body.op("Div", x, largest), step, middle)
        # MatMulInteger, Cast and Mul in one: the runtime would fuse them, but thousands of nodes cost megabytes first.
        y = body.op("MatMulIntegerToFloat", rounded, matrix.values, step, matrix.scales, middle, domain=MICROSOFT)
        return body.op("Mul", y, largest)

    def table(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        return self.matrix(graph, name, value.T)

    def lookup(self, body: GraphBuilder, ids: str, table: Stored) -> str:
        columns = body.op("Cast", body.op("Gather", table.values, ids, axis=1), to=TensorProto.FLOAT)
        rows = body.op("Transpose", body.op("Mul", columns, body.op("Gather", table.scales, ids)), perm=[1, 0])
        return body.op("Unsqueeze", rows, body.constant([0]))

    def project(self, body: GraphBuilder, x: str, table: Stored) -> str:
        return self.multiply(body, x, table)


@dataclass(frozen=True)
class _Blocks:
    """MatMulNBits: `bits`-bit weights with a scale for every `block` inputs of a column."""

    bits: int
    block: int
    accuracy_level: int

    def matrix(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        rounded, scale = round_blocks(value, self.bits, self.block)
        stored = graph.weight(f"{name}.int{self.bits}", rounded)
        return Stored(stored, graph.weight(f"{name}.scale", scale), (value.shape[0], value.shape[1]))

    def multiply(self, body: GraphBuilder, x: str, matrix: Stored) -> str:
        inputs, outputs = matrix.shape
        return body.op(
            "MatMulNBits",
            x,
            matrix.values,
            matrix.scales,
            domain=MICROSOFT,
            K=inputs,
            N=outputs,
            bits=self.bits,
            block_size=self.block,
            accuracy_level=self.accuracy_level,
        )

    def table(self, graph: GraphBuilder, name: str, value: Float) -> Stored:
        return self.matrix(graph, name, value.T)

    def lookup(self, body: GraphBuilder, ids: str, table: Stored) -> str:
        packed = body.op("Gather", table.values, ids, axis=0)  # [tokens, blocks, bytes]
        if self.bits == 4:
            low = body.op("BitwiseAnd", packed, body.constant(15, np.uint8))
            high = body.op("BitShift", packed, body.constant(4, np.uint8), direction="RIGHT")
            last = body.constant([-1])
            packed = body.op("Concat", body.op("Unsqueeze", low, last), body.op("Unsqueeze", high, last), axis=-1)
            packed = body.op("Reshape", packed, body.constant([0, 0, self.block]))
        steps = body.op("Sub", body.op("Cast", packed, to=TensorProto.FLOAT), _f32(body, 1 << (self.bits - 1)))
        scale = body.op("Unsqueeze", body.op("Gather", table.scales, ids, axis=0), body.constant([-1]))
        rows = body.op("Reshape", body.op("Mul", steps, scale), body.constant([0, -1]))
        if (width := table.shape[0]) % self.block:
            rows = body.first(rows, body.constant([width]), axis=1)
        return body.op("Unsqueeze", rows, body.constant([0]))

    def project(self, body: GraphBuilder, x: str, table: Stored) -> str:
        return self.multiply(body, x, table)


def _f32(body: GraphBuilder, value: float) -> str:
    return body.constant(value, np.float32)


def to_half(value: Float, name: str) -> NDArray[np.float16]:
    """Return half precision.

    Raises:
        TensorError: an entry is beyond its range.
    """
    with np.errstate(over="ignore"):
        half: NDArray[np.float16] = value.astype(np.float16)
    if not np.isfinite(half).all():
        raise TensorError(
            f"tensor {name!r} has entries up to {np.abs(value).max():.3g}, beyond half precision's 65504; "
            "export with another precision"
        )
    return half
