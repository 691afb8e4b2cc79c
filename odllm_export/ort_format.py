"""`--ort-format`: the graph in ONNX Runtime's own format, and the operators that a custom build needs for it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnxruntime

from odllm_export.bundle import GRAPH, ORT_GRAPH, REQUIRED_OPERATORS, WEIGHTS, Manifest, file_facts
from odllm_export.engine import session_options
from odllm_export.errors import ExportError
from odllm_export.precision import find_precision

_LARGEST_BYTES = 2**31 - 1
"""A flatbuffer's offsets are 32 bits with a sign."""

LEVEL = "ORT_ENABLE_EXTENDED"
"""The highest level of optimisation whose result does not depend on the processor that it was made on."""


def add_ort_format(folder: Path, manifest: Manifest) -> None:
    """Write `recommend.ort` and the configuration of its operators into a bundle, and name them in its manifest.

    Raises:
        ExportError: the weights, which this format holds inside, are too large for it.
    """
    stored = (folder / WEIGHTS).stat().st_size + (folder / GRAPH).stat().st_size
    # Half precision is made float32 when constants are folded, which this format does beforehand.
    size = 2 * stored if find_precision(manifest.model.precision).kind == "fp16" else stored
    if size > _LARGEST_BYTES:
        raise ExportError(
            f"the ORT format holds the weights inside and ends at 2 GB, this model needs {size / 2**30:.1f} GiB. "
            "Export without --ort-format, with fewer bits, or with a smaller keep ratio."
        )
    options = session_options(1)
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVEL)
    options.optimized_model_filepath = str(folder / ORT_GRAPH)
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.add_session_config_entry("session.disable_prepacking", "1")
    onnxruntime.InferenceSession(str(folder / GRAPH), sess_options=options, providers=["CPUExecutionProvider"])
    _write_required_operators(folder)
    manifest.files.update(file_facts(folder, [ORT_GRAPH, REQUIRED_OPERATORS]))
    manifest.provenance["ort_format"] = f"onnxruntime {onnxruntime.__version__}, {LEVEL}"


def _write_required_operators(folder: Path) -> None:
    from onnxruntime.tools.ort_format_model import create_config_from_models

    logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
    path = folder / REQUIRED_OPERATORS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the model's file to the garbage collector
        create_config_from_models([folder / ORT_GRAPH], path, enable_type_reduction=True)
    # Its first lines name the model by its path on this machine.
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    path.write_text(f"# Operators and types of {ORT_GRAPH}\n" + "\n".join(lines) + "\n", encoding="utf-8")
