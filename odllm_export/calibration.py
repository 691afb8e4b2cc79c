"""Static ranges of activations: what goes into and comes out of every product, over real histories.

The float32 graphs of form `steps` are built with one more output, the smallest and largest value of each of these
tensors, and asked about the histories as a bundle would be: prompt, steps and search.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from lcrec.dataset import Dataset
from odllm_export.engine import session_options
from odllm_export.graph.builder import WeightFile, value_info
from odllm_export.graph.qdq import Range, Ranges
from odllm_export.steps import StepsEngine

_OUTPUT = "ranges"
_NOTHING = np.zeros(0, np.int64)

Build = Callable[[WeightFile], tuple[onnx.ModelProto, onnx.ModelProto]]
"""Builds the float32 graphs over a weights file."""

Open = Callable[[tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]], StepsEngine]
"""Puts the search around two sessions."""


def training_histories(dataset: Dataset, count: int, *, seed: int = 0) -> list[NDArray[np.int64]]:
    """Return what `count` users did, without the last two items that models are judged by; fewer if there are fewer."""
    users = np.random.default_rng(seed).permutation(len(dataset.users))
    histories = (dataset.split().train[user].astype(np.int64) for user in users)
    return [history for history in histories if len(history)][:count]


def collect_ranges(build: Build, open_engine: Open, histories: Sequence[NDArray[np.int64]]) -> Ranges:
    """Return the ranges of every product's input and output, by the matrix's name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with WeightFile(folder / "weights") as weights:
            graphs = build(weights)
        prefill, step = (_Watching(graph, folder / f"{number}.onnx") for number, graph in enumerate(graphs))
        engine = open_engine((prefill, step))
        for history in histories:
            engine.recommend(history, _NOTHING)
        return {
            matrix: (Range(*_joined(prefill, step, matrix, 0)), Range(*_joined(prefill, step, matrix, 1)))
            for matrix in prefill.matrices
        }


class _Watching(onnxruntime.InferenceSession):
    """A session that remembers the extremes of every product: `extremes [matrices, 2, 2]`, low and high last."""

    def __init__(self, model: onnx.ModelProto, path: Path) -> None:
        self.matrices = _watch(model)
        self.extremes = np.zeros((len(self.matrices), 2, 2), np.float32)  # 0 is in every range
        onnx.save(model, path)
        super().__init__(str(path), session_options(1), providers=["CPUExecutionProvider"])

    def run(self, outputs: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Return the named outputs."""
        *values, found = super().run([*outputs, _OUTPUT], feed)
        found = found.reshape(self.extremes.shape)
        self.extremes[..., 0] = np.minimum(self.extremes[..., 0], found[..., 0])
        self.extremes[..., 1] = np.maximum(self.extremes[..., 1], found[..., 1])
        return values


def _watch(model: onnx.ModelProto) -> list[str]:
    """Add the output `ranges` to a float32 graph; return its matrices' names in that order."""
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    products = [n for n in graph.node if n.op_type in ("MatMul", "Gemm") and n.input[1] in stored]
    parts = []
    for number, tensor in enumerate(name for node in products for name in (node.input[0], node.output[0])):
        for kind in ("ReduceMin", "ReduceMax"):
            scalar = f"{_OUTPUT}.{kind}.{number}"
            graph.node.append(helper.make_node(kind, [tensor], [f"{scalar}.all"], keepdims=0))
            graph.node.append(helper.make_node("Unsqueeze", [f"{scalar}.all", f"{_OUTPUT}.axis"], [scalar]))
            parts.append(scalar)
    graph.initializer.append(helper.make_tensor(f"{_OUTPUT}.axis", TensorProto.INT64, [1], [0]))
    graph.node.append(helper.make_node("Concat", parts, [_OUTPUT], axis=0))
    graph.output.append(value_info(_OUTPUT, TensorProto.FLOAT, [len(parts)]))
    return [node.input[1] for node in products]


def _joined(prefill: _Watching, step: _Watching, matrix: str, side: int) -> tuple[float, float]:
    found = np.stack([graph.extremes[graph.matrices.index(matrix), side] for graph in (prefill, step)])
    return float(found[:, 0].min()), float(found[:, 1].max())
