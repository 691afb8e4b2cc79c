"""A small builder for ONNX graphs: nodes in order, constants shared, weights streamed to the external data file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

State = dict[str, tuple[str, int, list[str | int | None]]]
"""What a loop carries, by name: initial value, element type and shape."""

OPSET = 23
"""First opset with Attention, RotaryEmbedding and RMSNormalization."""

OLDEST_ONNXRUNTIME = "1.24"
"""1.23 has the kernels, but its Attention refuses to begin with empty keys and values (tried)."""

IR_VERSION = 11
_MAPPED_BYTES = 1 << 16
_PAGE = 4096
_LINE = 64


class WeightFile:
    """Appends tensors to the external data file as they come, so that never more than one is in memory."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.folder = path.parent
        self._file = path.open("wb")

    def __enter__(self) -> WeightFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def flush(self) -> None:
        """Bring what was added to the disk, so that a session can read it."""
        self._file.flush()

    def add(self, name: str, value: NDArray[Any]) -> TensorProto:
        """Write a tensor and return the initializer that points at it.

        Large tensors start on a page, so that a runtime can map them; small ones on a cache line.
        """
        align = _PAGE if value.nbytes >= _MAPPED_BYTES else _LINE
        offset = -(-self._file.tell() // align) * align
        self._file.write(b"\0" * (offset - self._file.tell()))
        # A transposed view is written row block by row block: no second copy of a large matrix.
        for rows in np.array_split(value, max(1, value.nbytes >> 24)):
            self._file.write(np.ascontiguousarray(rows).data)
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(value.dtype), dims=value.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, entry in (("location", self.name), ("offset", offset), ("length", value.nbytes)):
            tensor.external_data.add(key=key, value=str(entry))
        return tensor


@dataclass
class GraphBuilder:
    """Nodes of one graph, or of a loop's body, which sees the names of the graph around it.

    Attributes:
        weights: where `weight` streams tensors to.
        outer: the graph around a body; constants and weights are kept there.
    """

    weights: WeightFile
    outer: GraphBuilder | None = None
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    _constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _made: dict[tuple[Any, ...], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Number names through the whole model: a body's names must not shadow the graph's around it."""
        if self.outer is not None:
            self._numbers = self.outer._numbers

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        return self.ops(kind, *inputs, outputs=1, name=name, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, name: str = "", **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names; asked for the same again, return the same names.

        All operators used here are pure, so equal nodes of one graph have equal outputs.
        """
        key = (kind, inputs, outputs, tuple((k, str(v)) for k, v in attributes.items()))
        # An Identity exists for its new name; graphs are too large to compare.
        shareable = kind != "Identity" and not any(isinstance(v, onnx.GraphProto) for v in attributes.values())
        if shareable and key in self._made:
            return self._made[key]
        label = f"{name or kind}_{next(self._numbers)}"
        names = [label] if outputs == 1 else [f"{label}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=label, **attributes))
        if shareable:
            self._made[key] = names
        return names

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Return the name of a small constant, shared by all that ask for the same value."""
        if self.outer is not None:
            return self.outer.constant(value, dtype)
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"constant_{next(self._numbers)}"
            self.initializers.append(onnx.numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """Stream a tensor to the external data file and return its name."""
        if self.outer is not None:
            return self.outer.weight(name, value)
        self.initializers.append(self.weights.add(name, value))
        return name

    def body(self) -> GraphBuilder:
        """Return a builder for a loop's body inside this graph."""
        return GraphBuilder(self.weights, outer=self)

    def part(self) -> GraphBuilder:
        """Return a builder whose nodes run outside this graph; it keeps its own constants, under names of its own."""
        return GraphBuilder(self.weights, _numbers=self._numbers)

    def copy(self) -> GraphBuilder:
        """Return a builder that goes on from here: another graph over the same weights."""
        return GraphBuilder(
            self.weights,
            nodes=list(self.nodes),
            initializers=list(self.initializers),
            _constants=dict(self._constants),
            _numbers=self._numbers,
            _made=dict(self._made),
        )

    def graph(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """Return the finished graph."""
        return helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)

    # Shapes and slices, spelled once.

    def scalar(self, vector: str) -> str:
        """`[1]` to `[]`."""
        return self.op("Squeeze", vector, self.constant([0]))

    def size(self, value: str, axis: int) -> str:
        """Return the length of an axis, `[1]` int64."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def last(self, value: str, count: str, axis: int) -> str:
        """Return the last `count` (`[1]` int64, at least 1) entries along an axis."""
        end = self.constant([np.iinfo(np.int64).max])
        return self.op("Slice", value, self.op("Neg", count), end, self.constant([axis]))

    def first(self, value: str, count: str, axis: int) -> str:
        """Return the first `count` (`[1]` int64) entries along an axis."""
        return self.op("Slice", value, self.constant([0]), count, self.constant([axis]))

    def column(self, vector: str) -> str:
        """`[n]` to `[n, 1]`."""
        return self.op("Unsqueeze", vector, self.constant([1]))

    def row(self, vector: str) -> str:
        """`[n]` to `[1, n]`."""
        return self.op("Unsqueeze", vector, self.constant([0]))

    def flat(self, value: str) -> str:
        """Return all entries as a vector."""
        return self.op("Reshape", value, self.constant([-1]))

    def range(self, stop: str) -> str:
        """Return `0 … stop - 1` for a scalar `stop`, in its type (int64 or int32)."""
        return self.op("Range", self.constant(0), stop, self.constant(1))

    def branch(
        self,
        condition: str,
        *,
        then: tuple[GraphBuilder, Sequence[str]],
        otherwise: tuple[GraphBuilder, Sequence[str]],
        types: Sequence[tuple[int, Sequence[str | int | None]]],
    ) -> list[str]:
        """Add an If: each side is a body with the names of its results, which may be the outer graph's own.

        Args:
            condition: a bool scalar.
            then: body and results where it is true.
            otherwise: body and results where it is false.
            types: element type and shape of each result.
        """
        graphs = []
        for name, (body, results) in (("then", then), ("else", otherwise)):
            names = [body.op("Identity", result) for result in results]
            outputs = [value_info(n, dtype, shape) for n, (dtype, shape) in zip(names, types, strict=True)]
            graphs.append(body.graph(name, [], outputs))
        return self.ops("If", condition, outputs=len(types), then_branch=graphs[0], else_branch=graphs[1])

    def loop(
        self, trips: str, state: State, body: GraphBuilder, go_on: str, after: Mapping[str, str], iteration: str
    ) -> dict[str, str]:
        """Add a Loop and return the last values of its state by name; in the body the state's names are its values.

        Args:
            trips: the most passes, int64 scalar.
            state: initial value, element type and shape of everything that is carried, by name.
            body: the pass's nodes.
            go_on: whether another pass follows, a bool scalar of the body.
            after: what each name has at the end of a pass.
            iteration: name for the pass's number in the body.
        """
        condition = f"{iteration}.go_on"
        inputs = [value_info(iteration, TensorProto.INT64, []), value_info(condition, TensorProto.BOOL, [])]
        inputs += [value_info(name, dtype, shape) for name, (_, dtype, shape) in state.items()]
        outputs = [value_info(go_on, TensorProto.BOOL, [])]
        outputs += [value_info(after[name], dtype, [None] * len(shape)) for name, (_, dtype, shape) in state.items()]
        initial = [value for value, _, _ in state.values()]
        graph = body.graph(f"{iteration}_body", inputs, outputs)
        results = self.ops("Loop", trips, "", *initial, outputs=len(state), body=graph)
        return dict(zip(state, results, strict=True))

    def emit(self, value: str, name: str) -> None:
        """Give a value the name of an output."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=name))


def save_model(model: onnx.ModelProto, path: Path, properties: Mapping[str, str]) -> None:
    """Write a model, its weights apart, with `properties` in its metadata."""
    helper.set_model_props(model, dict(properties))
    onnx.save(model, path)


def value_info(name: str, dtype: int, shape: Sequence[str | int | None]) -> onnx.ValueInfoProto:
    """Return a typed graph input or output; strings name dynamic axes."""
    return helper.make_tensor_value_info(name, dtype, list(shape))
