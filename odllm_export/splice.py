"""One ONNX file from two: a logits processor behind a decoder's logits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper
from onnx.external_data_helper import uses_external_data

from odllm_export.errors import ExportError
from odllm_export.graph.processor import OPSET


def splice(
    decoder_path: Path,
    processor_path: Path,
    out_path: Path,
    *,
    logits: str = "logits",
    prefix: str = "",
    overwrite: bool = False,
) -> None:
    """Write a graph that does what the decoder does and gives the processor's outputs besides.

    The decoder's inputs and outputs stay as they are. `state`, the catalogue's arrays if they are inputs, and the
    processor's outputs come to them under their own names, behind `prefix`. The processor reads the logits of the last
    position. In the decoder's own folder the external data is shared; elsewhere it is copied beside `out_path`.

    Args:
        decoder_path: any decoder in ONNX, opset 18 or later.
        processor_path: `processor.onnx`, as `odllm export-processor` writes it.
        out_path: file to write; it appears whole or not at all.
        logits: the decoder's output `[batch, sequence, vocabulary]` or `[batch, vocabulary]`.
        prefix: goes before the names that the processor brings.
        overwrite: replace a file that is there.

    Raises:
        ExportError: a file that cannot be read or is in the way, a decoder without such an output or of too old an
            opset, or names that both graphs use.
    """
    model = spliced(_load(decoder_path), _load(processor_path), logits=logits, prefix=prefix)
    data = [] if out_path.parent.resolve() == decoder_path.parent.resolve() else sorted(_data_files(model))
    for path in (out_path, *(out_path.parent / name for name in data)):
        if path.exists() and not overwrite:
            raise ExportError(f"{path} exists already. Choose another output, or say that it may be replaced.")
    if out_path.resolve() == decoder_path.resolve():
        raise ExportError(f"{out_path} is the decoder itself. Choose another name: both stay usable then.")
    _write(model, decoder_path.parent, out_path, data)


def spliced(
    decoder: onnx.ModelProto, processor: onnx.ModelProto, *, logits: str = "logits", prefix: str = ""
) -> onnx.ModelProto:
    """Return the decoder with the processor behind it; see `splice`.

    Operators keep the decoder's opset: those of the processor mean the same from opset 18 on.

    Raises:
        ExportError: as `splice`.
    """
    _check_processor(processor)
    _check_opset(decoder)
    model = onnx.ModelProto()
    model.CopyFrom(decoder)
    model.ir_version = max(decoder.ir_version, processor.ir_version)
    names = _new_names(decoder.graph, processor.graph, prefix)
    model.graph.node.extend(_last_logits(decoder.graph, logits, names["logits"]))
    for node in processor.graph.node:
        copy = model.graph.node.add()
        copy.CopyFrom(node)
        copy.name = f"{prefix}processor/{node.name}"
        copy.input[:] = [names[name] for name in node.input]
        copy.output[:] = [names[name] for name in node.output]
    inputs = [value for value in processor.graph.input if value.name != "logits"]
    for theirs, ours in (
        (processor.graph.initializer, model.graph.initializer),
        (inputs, model.graph.input),
        (processor.graph.output, model.graph.output),
    ):
        for value in theirs:
            ours.add().CopyFrom(value)
            ours[-1].name = names[value.name]
    return model


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ExportError(f"cannot read {path}: {error.strerror}") from error
    except DecodeError as error:
        raise ExportError(f"{path} is not an ONNX file, or it is damaged. Export it again.") from error


def _check_processor(processor: onnx.ModelProto) -> None:
    inputs = {value.name for value in processor.graph.input}
    if not {"logits", "state"} <= inputs:
        raise ExportError(
            f"the second graph has the inputs {', '.join(sorted(inputs)) or 'none'}; a processor with logits and state "
            "is needed (`odllm export-processor`)"
        )


def _check_opset(decoder: onnx.ModelProto) -> None:
    opsets = [opset.version for opset in decoder.opset_import if opset.domain in ("", "ai.onnx")]
    if not opsets or opsets[0] < OPSET:
        found = f"opset {opsets[0]}" if opsets else "no operators of the standard domain"
        raise ExportError(f"the decoder uses {found}; the processor needs opset {OPSET}. Export the decoder with it.")


def _last_logits(graph: onnx.GraphProto, name: str, result: str) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that make `[batch, vocabulary]` float32 of the decoder's output."""
    outputs = {value.name: value.type.tensor_type for value in graph.output}
    if name not in outputs:
        raise ExportError(f"the decoder has no output {name!r}, but {', '.join(outputs)}. Say which holds the logits.")
    rank = len(outputs[name].shape.dim)
    if rank not in (2, 3):
        raise ExportError(
            f"the output {name!r} has {rank} axes; [batch, sequence, vocabulary] or [batch, vocabulary] is needed"
        )
    if rank == 3:
        last = helper.make_node("Constant", [], [f"{result}/position"], value_int=-1, name=f"{result}/position")
        yield last
        yield helper.make_node("Gather", [name, last.output[0]], [f"{result}/last"], axis=1, name=f"{result}/last")
        name = f"{result}/last"
    yield helper.make_node("Cast", [name], [result], to=TensorProto.FLOAT, name=result)


def _new_names(decoder: onnx.GraphProto, processor: onnx.GraphProto, prefix: str) -> dict[str, str]:
    """Return the processor's names in the merged graph: its interface behind `prefix`, the rest in a space of its own.

    Raises:
        ExportError: the decoder uses one of the names.
    """
    interface = {value.name for value in (*processor.input, *processor.output)} - {"logits"}
    inner = {name for node in processor.node for name in (*node.input, *node.output)}
    inner |= {tensor.name for tensor in processor.initializer}
    names = {name: f"{prefix}processor/{name}" if name else "" for name in inner}
    names |= {name: f"{prefix}{name}" for name in interface}
    taken = set(_names(decoder)) & {*names.values(), *(f"{prefix}processor/{node.name}" for node in processor.node)}
    if taken - {""}:
        some = ", ".join(sorted(taken - {""})[:4])
        raise ExportError(f"the decoder uses the names {some} itself; give the processor another prefix")
    return names


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in attribute.graphs:
                yield from _graphs(inner)
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield all names of values and nodes."""
    for part in _graphs(graph):
        for value in (*part.input, *part.output, *part.initializer):
            yield value.name
        for node in part.node:
            yield node.name
            yield from node.output


def _data_files(model: onnx.ModelProto) -> set[str]:
    """Return the files that the graph's tensors lie in, relative to its folder.

    Raises:
        ExportError: a file that is not below it.
    """
    tensors = [tensor for part in _graphs(model.graph) for tensor in part.initializer]
    tensors += [a.t for part in _graphs(model.graph) for node in part.node for a in node.attribute if a.HasField("t")]
    entries = [entry for tensor in tensors if uses_external_data(tensor) for entry in tensor.external_data]
    files = {entry.value for entry in entries if entry.key == "location"}
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ExportError(
                f"the decoder's weights lie in {name}, outside its folder. Save it with its weights beside."
            )
    return files


def _write(model: onnx.ModelProto, source: Path, out_path: Path, data: list[str]) -> None:
    """Copy the data files and save the graph, under names for the time being until all is there."""
    targets = [*(out_path.parent / name for name in data), out_path]
    staged = [path.with_name(f".{path.name}.{os.getpid()}.writing") for path in targets]
    try:
        for name, path in zip(data, staged, strict=False):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, path)
        onnx.save(model, staged[-1])
        for path, target in zip(staged, targets, strict=True):
            path.replace(target)
    except FileNotFoundError as error:
        raise ExportError(
            f"cannot copy {error.filename}: the decoder's weights are missing. Copy its folder."
        ) from error
    finally:
        for path in staged:
            path.unlink(missing_ok=True)
