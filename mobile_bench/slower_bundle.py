"""A bundle that returns the same lists in a little more time, to see whether a benchmark notices."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mobile_bench.errors import BenchError
from odllm_export.bundle import GRAPH, file_facts, read_manifest, write_manifest

WIDTH = 64
"""Rows and columns of the matrices that are multiplied for nothing."""

_PREFIX = "idle_work"


def add_idle_work(bundle: Path, out: Path, products: int) -> None:
    """Write a copy of a bundle that multiplies matrices for nothing at every call; its lists and scores stay.

    The matrices are zero, which the runtime cannot know, because they come from the history; their sum is added to the
    scores.

    Args:
        bundle: of form `loop` or `unrolled`.
        out: folder to write; must not exist.
        products: of `[WIDTH, WIDTH]` matrices a call, one behind the other.

    Raises:
        BenchError: the bundle has another form.
    """
    manifest = read_manifest(bundle)
    if GRAPH not in manifest.files:
        raise BenchError(f"{bundle} has no {GRAPH}: only forms loop and unrolled can be slowed down")
    shutil.copytree(bundle, out)
    model = onnx.load(out / GRAPH, load_external_data=False)
    _extend(model.graph, products)
    onnx.save(model, out / GRAPH)
    files = manifest.files | file_facts(out, [GRAPH])
    write_manifest(msgspec.structs.replace(manifest, files=files), out)


def _extend(graph: onnx.GraphProto, products: int) -> None:
    for node in graph.node:
        for number, name in enumerate(node.output):
            if name == "scores":
                node.output[number] = f"{_PREFIX}_scores"
    shape: NDArray[Any] = np.array([WIDTH, WIDTH], np.int64)
    constants = {"nothing": np.zeros(1, np.float32), "shape": shape}
    graph.initializer.extend(numpy_helper.from_array(value, f"{_PREFIX}_{name}") for name, value in constants.items())
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Cast", ["history"], "floats", {"to": TensorProto.FLOAT}),
        ("ReduceSum", ["floats"], "total", {"keepdims": 0}),
        ("Mul", ["total", "nothing"], "zero", {}),
        ("Expand", ["zero", "shape"], "matrix_0", {}),
        *(("MatMul", [f"matrix_{i}", f"matrix_{i}"], f"matrix_{i + 1}", {}) for i in range(products)),
        ("ReduceSum", [f"matrix_{products}"], "sum", {"keepdims": 0}),
    ]
    for operator, inputs, output, attributes in steps:
        names = [name if name == "history" else f"{_PREFIX}_{name}" for name in inputs]
        graph.node.append(helper.make_node(operator, names, [f"{_PREFIX}_{output}"], **attributes))
    graph.node.append(helper.make_node("Add", [f"{_PREFIX}_scores", f"{_PREFIX}_sum"], ["scores"]))
