"""What projections cost in time: every shape, dense and at several ranks, as the exporter writes it, in ONNX Runtime.

A projection is measured alone, with the exporter's own nodes for the precision, on one thread, over the passes of a
typical call. Several copies with weights of their own run in one graph, so that starting the runtime weighs little and
weights are not always in the nearest cache. What counts is the processor time of the thread, of all rounds the least:
on a machine that others use, everything else is theirs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.isotonic import isotonic_regression

from compression.allocation import break_even_rank
from compression.costs import MeasuredCosts, MeasuredShape, Shape
from compression.errors import ConfigError
from odllm_artifact import Progress, read_json, silent, write_json
from odllm_export.engine import session_options
from odllm_export.graph.builder import IR_VERSION, OPSET, GraphBuilder, WeightFile, save_model, value_info
from odllm_export.graph.storage import MICROSOFT, storage_for
from odllm_export.precision import Precision

LATENCY_SCHEMA_VERSION = 1

_COPIES_BYTES = 32 << 20
_MOST_COPIES = 8
_RANKS = 8
"""Ranks measured a shape, evenly from the smallest to the break-even; in between, straight lines are good enough."""


class LatencyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured times of projections, in microseconds of a call, and how they were taken.

    Attributes:
        precision: by name.
        passes: tokens of each pass of a call, and how often it happens.
        shapes: what was measured.
        onnxruntime: version.
        rounds: of which the fastest counts, in processor time.
        threads: of the runtime.
        schema_version: of the file.
    """

    precision: str
    passes: tuple[tuple[int, int], ...]
    shapes: tuple[MeasuredShape, ...]
    onnxruntime: str
    rounds: int
    threads: int = 1
    schema_version: int = LATENCY_SCHEMA_VERSION

    def costs(self) -> MeasuredCosts:
        """Return the costs of a budget of time."""
        return MeasuredCosts("latency", {found.shape: found for found in self.shapes})


def measure_latency(
    shapes: Iterable[Shape],
    precision: Precision,
    passes: Sequence[tuple[int, int]],
    *,
    multiple: int = 8,
    rounds: int = 15,
    progress: Progress = silent,
) -> LatencyTable:
    """Return the times of every distinct shape, dense and at several multiples of `multiple`.

    Raises:
        ExportError: the precision has no product of its own (`int8-qdq`).
    """
    distinct = sorted(set(shapes))
    measured = []
    for number, shape in enumerate(distinct):
        progress(number, len(distinct), f"{shape[0]} × {shape[1]}")
        measured.append(_measure_shape(shape, precision, passes, multiple, rounds))
    progress(len(distinct), len(distinct))
    return LatencyTable(precision.name, tuple(passes), tuple(measured), onnxruntime.__version__, rounds)


def _measure_shape(
    shape: Shape, precision: Precision, passes: Sequence[tuple[int, int]], multiple: int, rounds: int
) -> MeasuredShape:
    ranks = measured_ranks(shape, multiple)
    with tempfile.TemporaryDirectory(prefix="odllm-costs-") as folder:
        runs = [_Run(Path(folder), shape, rank, precision, passes) for rank in (None, *ranks)]
        for _ in range(rounds):  # in turns: a slow moment meets all of them
            for run in runs:
                run.time()
        dense, *factored = [run.microseconds for run in runs]
    return MeasuredShape(shape, dense, tuple(ranks), tuple(isotonic_regression(factored).tolist()))


def measured_ranks(shape: Shape, multiple: int) -> list[int]:
    """Return the ranks at which a shape is measured: multiples, from the first to the last that may pay."""
    last = break_even_rank(shape) // multiple
    return sorted({max(round(last * step / _RANKS), 1) * multiple for step in range(_RANKS + 1)})


class _Run:
    """One projection in the runtime, and the fastest it was at every pass."""

    def __init__(
        self, folder: Path, shape: Shape, rank: int | None, precision: Precision, passes: Sequence[tuple[int, int]]
    ) -> None:
        rows, columns = shape
        sizes = [(columns, rows)] if rank is None else [(columns, rank), (rank, rows)]
        values = sum(inputs * outputs for inputs, outputs in sizes)
        self.copies = max(min(_COPIES_BYTES // (4 * values), _MOST_COPIES), 1)
        self.passes = passes
        self.best = [float("inf")] * len(passes)
        random = np.random.default_rng(0)
        self.session = _open(folder / f"rank-{rank}.onnx", sizes, self.copies, precision, random)
        self.inputs = [random.standard_normal((1, tokens, columns), np.float32) for tokens, _ in passes]

    def time(self) -> None:
        """Run every pass once more."""
        for i, x in enumerate(self.inputs):
            started = time.thread_time()
            self.session.run(None, {"x": x})
            self.best[i] = min(self.best[i], time.thread_time() - started)

    @property
    def microseconds(self) -> float:
        """Time of one projection over all passes of a call."""
        return 1e6 * sum(best * often for best, (_, often) in zip(self.best, self.passes, strict=True)) / self.copies


def _open(
    path: Path, sizes: Sequence[tuple[int, int]], copies: int, precision: Precision, random: np.random.Generator
) -> onnxruntime.InferenceSession:
    """Return a session of `copies` chains of products of `sizes`, each from the same input `x [1, tokens, in]`."""
    storage = storage_for(precision)
    with WeightFile(path.with_suffix(".data")) as weights:
        graph = GraphBuilder(weights)
        for copy in range(copies):
            value = "x"
            for number, size in enumerate(sizes):
                matrix: NDArray[np.float32] = random.standard_normal(size, np.float32)
                value = storage.multiply(graph, value, storage.matrix(graph, f"w{copy}.{number}", matrix))
            graph.emit(value, f"y{copy}")
        inputs = [value_info("x", TensorProto.FLOAT, [1, "tokens", sizes[0][0]])]
        outputs = [value_info(f"y{copy}", TensorProto.FLOAT, [1, "tokens", sizes[-1][1]]) for copy in range(copies)]
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        made = helper.make_model(graph.graph("costs", inputs, outputs), opset_imports=opsets, ir_version=IR_VERSION)
    save_model(made, path, {})
    return onnxruntime.InferenceSession(str(path), sess_options=session_options(1), providers=["CPUExecutionProvider"])


def read_latency(path: Path, shapes: Iterable[Shape], precision: Precision) -> LatencyTable:
    """Return a table that `write_latency` wrote, for these shapes and this precision.

    Raises:
        ArtifactError: the file is missing or not JSON.
        ConfigError: it is no such table, or lacks a shape or was taken at another precision.
    """
    content = read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != LATENCY_SCHEMA_VERSION:
        raise ConfigError(
            f"{path} is no table of costs: schema_version is {version!r}, expected {LATENCY_SCHEMA_VERSION}. "
            "Name a file that does not exist yet, to measure one."
        )
    try:
        table = msgspec.convert(content, LatencyTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}. Measure the costs again.") from error
    missing = sorted(set(shapes) - {found.shape for found in table.shapes})
    if missing or table.precision != precision.name:
        raise ConfigError(
            f"{path} holds costs at {table.precision} of {[found.shape for found in table.shapes]}; needed: at "
            f"{precision.name}, {missing or 'the same shapes'}. Name a file that does not exist yet, to measure them."
        )
    return table


def write_latency(table: LatencyTable, path: Path) -> None:
    """Write a table as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, msgspec.to_builtins(table))
