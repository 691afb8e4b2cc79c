"""The verdict of ONNX Runtime's mobile usability checker, and what it cannot see."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import onnx
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError
from onnxruntime.tools.mobile_helpers import usability_checker

LIMITS = (
    "it knows NNAPI and CoreML only, and looks at operators, ranks and fixed shapes, not at types",
    "its lists hold neither Attention, RotaryEmbedding and RMSNormalization nor the quantised matrix products "
    "(MatMulNBits, MatMulIntegerToFloat), so it cannot find a decoder usable",
    "it counts the bodies of Loop and If as if a provider entered them",
)
"""What must be said beside its verdict."""

_VERDICT = re.compile(r"^Model should perform well with (.+?) (as is|if modified to have fixed input shapes): (\w+)$")


class MobileVerdict(msgspec.Struct, frozen=True):
    """What the mobile usability checker said.

    Attributes:
        usable: whether it would try NNAPI or CoreML; None where it failed.
        verdicts: by provider and whether shapes were to be fixed: YES, MAYBE or NO.
        log: all its lines.
        failure: what it said when it could not read the graph.
        limits: what it cannot see.
    """

    usable: bool | None
    verdicts: dict[str, str]
    log: list[str]
    failure: str | None = None
    limits: tuple[str, ...] = LIMITS


def mobile_verdict(model: onnx.ModelProto) -> MobileVerdict:
    """Ask `onnxruntime.tools.mobile_helpers.usability_checker` about a graph.

    Args:
        model: the graph, its weights not loaded. The checker looks at their shapes only, but reads them all if it can.
    """
    with tempfile.TemporaryDirectory(prefix="odllm-check-") as scratch, _captured_log() as (logger, lines):
        path = Path(scratch) / "graph.onnx"
        onnx.save(without_weights(model), path)
        try:
            # Its own optimisation needs the weights' values, to fold a handful of nodes.
            usable = usability_checker.analyze_model(path, skip_optimize=True, logger=logger)
        # AttributeError: where it finds no inferred shapes it wants to say so to a logger that it was not given.
        except (ValueError, RuntimeError, AttributeError, ValidationError, InferenceError) as error:
            return MobileVerdict(None, {}, lines, f"{type(error).__name__}: {error}")
    found = [match for match in map(_VERDICT.match, lines) if match]
    return MobileVerdict(bool(usable), {f"{match[1]}, {match[2]}": match[3] for match in found}, lines)


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose external tensors have a type and a shape, but no values."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        del tensor.external_data[:]
        tensor.ClearField("data_location")
    return copy


@contextmanager
def _captured_log() -> Iterator[tuple[logging.Logger, list[str]]]:
    """Give a logger that only fills a list."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.extend(record.getMessage().splitlines())

    logger = logging.Logger("mobile usability", logging.INFO)
    logger.addHandler(Lines())
    yield logger, lines
