"""What a compression will do, before it is done: ranks, size, memory and time."""

from __future__ import annotations

from typing import Any

import msgspec

from compression.checkpoint import empty_model
from compression.config import CompressionConfig
from compression.pipeline import count_parameters, dense_shapes
from compression.plan_file import PlanFile
from compression.time_model import estimate_flops, time_class
from odllm.byte_costs import model_bytes
from odllm.calibrating import Calibrated
from odllm_export.precision import find_precision


def describe_plan(
    file: PlanFile, calibrated: Calibrated, config: CompressionConfig, *, precision: str, threads: int
) -> dict[str, Any]:
    """Return what a compression under a plan gives and takes; no weight is looked at."""
    model, plan, stored = empty_model(calibrated.model_folder), file.plan(), find_precision(precision)
    before, tokens = count_parameters(model), sum(batch.tokens for batch in calibrated.batches)
    shapes, memory = dense_shapes(model), calibrated.memory(config)
    dense = type(plan)(plan.shapes)
    return {
        "plan": msgspec.to_builtins(file),
        "keep_ratio": plan.achieved_keep_ratio,
        "parameters_before": before,
        "parameters_after": before - plan.parameters_before + plan.parameters_after,
        "precision": stored.name,
        "weight_bytes_before": model_bytes(model, dense, stored),
        "weight_bytes_after": model_bytes(model, plan, stored),
        "calibration_tokens": tokens,
        "memory": msgspec.to_builtins(memory) | {"peak": memory.peak},
        "time": time_class(estimate_flops(shapes, config, tokens=tokens), threads),
    }
