"""Which nodes of a graph an execution provider is expected to take, and why not the others. Nothing is run.

The graph is walked as it is stored, with the bodies of Loop and If, but for nodes that the runtime folds because all
their inputs are constant. What it fuses is not foreseen. A node that no table speaks against counts as taken.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import onnx
from onnx import AttributeProto, TensorProto, helper

from odllm_export.provider_ops import Provider, operator_name, providers, schemas

PRODUCTS = ("MatMul", "Gemm", "com.microsoft:MatMulIntegerToFloat", "com.microsoft:MatMulNBits", "Attention")
"""The operators that a call spends its time in."""


class Refused(msgspec.Struct, frozen=True):
    """Nodes of one operator that a provider is not expected to take, counted by reason."""

    operator: str
    reasons: dict[str, int]


class Expectation(msgspec.Struct, frozen=True):
    """What a provider is expected to take of a graph.

    Attributes:
        provider: by the command line's name.
        title: by people.
        source: where its operators are listed.
        nodes: of the graph and all bodies.
        taken: of them.
        decoder_nodes: of the graph or body that holds the attention.
        decoder_taken: of them.
        products: matrix products and attentions, where the time goes.
        products_taken: of them.
        refused: the operators that are not, or not always, taken.
        caveats: documented conditions of taken operators that were not checked.
        notes: what else is documented, or is not.
    """

    provider: str
    title: str
    source: str
    nodes: int
    taken: int
    decoder_nodes: int
    decoder_taken: int
    products: int
    products_taken: int
    refused: list[Refused]
    caveats: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Value:
    """What is known of a tensor: its type (`float`, `int64`; empty if unknown), its dimensions, whether it is constant.

    `shape` is None if not even the rank is known; a dimension is None if it is not fixed.
    """

    type: str = ""
    shape: tuple[int | None, ...] | None = None
    constant: bool = False


@dataclass(frozen=True)
class Placed:
    """A node, what is known of its inputs, and where it stands.

    Attributes:
        name: of the operator, with its domain unless that is ai.onnx.
        inputs: in order.
        in_body: whether it stands in a body of a Loop or an If.
        in_decoder: whether it stands beside an Attention node.
    """

    name: str
    inputs: tuple[Value, ...]
    in_body: bool
    in_decoder: bool


def expectations(model: onnx.ModelProto) -> list[Expectation]:
    """Return what every documented provider is expected to take.

    Args:
        model: the graph; its weights need not be loaded.
    """
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    nodes = list(placed_nodes(model))
    return [_expectation(provider, nodes, opset) for provider in providers().values()]


def placed_nodes(model: onnx.ModelProto) -> Iterator[Placed]:
    """Yield every node of a graph and its bodies but those that are folded when it is loaded."""
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    _state_types(typed.graph)
    inferred = onnx.shape_inference.infer_shapes(typed, data_prop=True)
    yield from _walk(inferred.graph, {}, in_body=False)


def refusal(provider: Provider, node: Placed, opset: int) -> str | None:
    """Return why a provider is not expected to take a node, or None."""
    if node.in_body and not provider.enters_bodies:
        return "in the body of a Loop or If, which it does not enter"
    by_operator = _no_kernel if provider.kernels else _not_listed
    if (reason := by_operator(provider, node, opset)) is not None:
        return reason
    if not provider.dynamic_shapes and any(v.shape is None or None in v.shape for v in node.inputs):
        return "an input of dynamic shape"
    return None


def _expectation(provider: Provider, nodes: Sequence[Placed], opset: int) -> Expectation:
    refused: dict[str, Counter[str]] = defaultdict(Counter)
    taken: list[Placed] = []
    for node in nodes:
        reason = refusal(provider, node, opset)
        if reason is None:
            taken.append(node)
        else:
            refused[node.name][reason] += 1
    notes = {name: provider.listed[name.lower()].note for name in {node.name for node in taken} if provider.listed}
    return Expectation(
        provider=provider.name,
        title=provider.title,
        source=provider.source,
        nodes=len(nodes),
        taken=len(taken),
        decoder_nodes=sum(node.in_decoder for node in nodes),
        decoder_taken=sum(node.in_decoder for node in taken),
        products=sum(node.name in PRODUCTS for node in nodes),
        products_taken=sum(node.name in PRODUCTS for node in taken),
        refused=[Refused(name, dict(refused[name])) for name in sorted(refused)],
        caveats=[f"{name}: {note}" for name, note in sorted(notes.items()) if note],
        notes=list(provider.notes),
    )


def _no_kernel(provider: Provider, node: Placed, opset: int) -> str | None:
    if node.name not in provider.kernels:
        return "no kernel for the operator"
    schema = schemas(opset).get(node.name)
    if schema is None:
        return "an operator that the installed onnxruntime does not know"
    kernels = [kernel for kernel in provider.kernels[node.name] if kernel.serves(schema.version)]
    if not kernels:
        return f"no kernel for version {schema.version} of the operator"
    misfits = []
    for kernel in kernels:
        misfit = _misfit(kernel.types, schema.inputs, node.inputs)
        if misfit is None:
            return None
        misfits.append(misfit)
    return misfits[0]


def _misfit(
    types: Mapping[str, frozenset[str]], formal: Sequence[tuple[str, str]], inputs: Sequence[Value]
) -> str | None:
    """Return which input's type a kernel does not have, or None."""
    for number, value in enumerate(inputs):
        constraint, name = formal[min(number, len(formal) - 1)]
        allowed = types.get(constraint) or types.get(name)
        if allowed and value.type and value.type not in allowed:
            return f"no kernel for {value.type}"
    return None


def _not_listed(provider: Provider, node: Placed, opset: int) -> str | None:
    conditions = provider.listed.get(node.name.lower())
    if conditions is None:
        return "not in its list of operators"
    first = node.inputs[0] if node.inputs else Value()
    if conditions.types and first.type and first.type not in conditions.types:
        return f"not for {first.type}"
    if any(number < len(node.inputs) and not node.inputs[number].constant for number in conditions.constant):
        return "an operand that is not constant"
    for value, ranks in zip(node.inputs, conditions.ranks, strict=False):
        if value.shape is not None and len(value.shape) not in ranks:
            return f"an operand of rank {len(value.shape)}"
    return None


def _walk(graph: onnx.GraphProto, outer: Mapping[str, Value], *, in_body: bool) -> Iterator[Placed]:
    values = {**outer, "": Value(shape=(), constant=True)}
    for info in (*graph.input, *graph.value_info, *graph.output):
        values[info.name] = _value(info)
    for tensor in graph.initializer:
        values[tensor.name] = Value(_type_name(tensor.data_type), tuple(tensor.dims), constant=True)
    in_decoder = any(node.op_type == "Attention" for node in graph.node)
    for node in graph.node:
        inputs = tuple(values.get(name, Value()) for name in node.input)
        if inputs and all(value.constant for value in inputs) and not any(_bodies(node)):
            values |= {name: dataclasses.replace(values.get(name, Value()), constant=True) for name in node.output}
            continue
        yield Placed(operator_name(node.domain, node.op_type), inputs, in_body, in_decoder)
        for body in _bodies(node):
            yield from _walk(body, values, in_body=True)


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    if not info.type.HasField("tensor_type"):
        return Value()
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(one.dim_value if one.HasField("dim_value") else None for one in tensor.shape.dim)
    return Value(_type_name(tensor.elem_type), shape)


def _type_name(data_type: int) -> str:
    return "" if data_type == TensorProto.UNDEFINED else str(TensorProto.DataType.Name(data_type)).lower()


def _state_types(graph: onnx.GraphProto) -> None:
    """Say that Microsoft's operators return float32: onnx does not know them and would infer nothing behind them."""
    known = {info.name for info in (*graph.value_info, *graph.output)}
    for node in graph.node:
        if node.domain == "com.microsoft":
            missing = [name for name in node.output if name and name not in known]
            graph.value_info.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in missing)
        for body in _bodies(node):
            _state_types(body)
