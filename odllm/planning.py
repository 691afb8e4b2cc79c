"""Which ranks a compression will use: from a plan file, or made for a model folder under a budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from compression.allocation import RankPlan, plan_ranks
from compression.checkpoint import empty_model, load_model, open_tensors
from compression.config import CompressionConfig
from compression.costs import PARAMETERS, Costs, Currency, Shape
from compression.errors import ConfigError
from compression.greedy import allocate, check_budget
from compression.moment_sum import product_dtype
from compression.pipeline import unit_shapes
from compression.plan_file import (
    PLAN_FILE,
    PlanAllocation,
    PlanBudget,
    PlanFile,
    make_plan_file,
    plan_for_model,
    read_plan,
)
from compression.sensitivity import LossReport, measure_losses
from lcrec.dataset import Dataset
from lcrec.model import code_token_ids
from lcrec.prompt import Prompt
from odllm.byte_costs import byte_costs
from odllm.calibrating import BATCH, Calibrated, ProgressBar, sequence_batches
from odllm.latency_costs import LatencyTable, measure_latency, read_latency, write_latency
from odllm_artifact import partial_folder, read_json, sha256_folder, write_json
from odllm_export.export import ExportOptions
from odllm_export.precision import Precision, find_precision

CURRENCIES: tuple[Currency, ...] = ("parameters", "bytes", "latency")
PROBE_SEQUENCES = 64
"""Sequences on which each projection is cut alone."""


@dataclass(frozen=True)
class PlanRequest:
    """How ranks are to be found.

    Attributes:
        budget: what `keep_ratio` is a fraction of.
        precision: how weights will be stored, for bytes and latency.
        plan: a file that decides instead of all of that.
        costs: file of measured times: read if it is there, else measured and written.
    """

    budget: Currency = "parameters"
    precision: str = "fp32"
    plan: Path | None = None
    costs: Path | None = None

    def __post_init__(self) -> None:
        """Check the words.

        Raises:
            ConfigError: a budget that does not exist, or a file of costs that nothing would read.
            ExportError: a precision that does not exist.
        """
        if self.budget not in CURRENCIES:
            raise ConfigError(f"budget is {self.budget!r}; expected one of {', '.join(CURRENCIES)}")
        if self.costs is not None and self.budget != "latency":
            raise ConfigError(f"a file of costs holds times; the budget is {self.budget}. Say --budget latency.")
        find_precision(self.precision)


def find_plan(
    calibrated: Calibrated,
    config: CompressionConfig,
    request: PlanRequest,
    progress: ProgressBar,
    *,
    work: Path | None = None,
) -> PlanFile:
    """Return the plan of a compression, checked against the model; only allocations that measure look at weights.

    Args:
        calibrated: the dense recommender and the sequences that calibrate.
        config: keep ratio, steps, allocation and whitening.
        request: how ranks are to be found.
        progress: opens progress bars.
        work: the output folder. What was measured for it is kept beside it until it is whole, so that a run that
            goes on uses the same ranks.

    Raises:
        CompressionError: the model folder is damaged, the plan is for another one, or the budget cannot be met.
        LcrecError: the dataset or the recommender is damaged.
        ExportError: a precision without products of its own.
    """
    model_folder, dataset_folder = calibrated.model_folder, calibrated.dataset_folder
    model = empty_model(model_folder)
    open_tensors(model, model_folder)  # the headers are those of the model, or an error
    if config.weigh_outputs or config.allocation == "importance":
        calibrated.check_memory(config)
    if request.plan is not None:
        file = read_plan(request.plan)
        plan_for_model(file, model, request.plan)
        return file
    if work is None or not (request.budget == "latency" or config.allocation != "uniform"):
        return _make_plan(model, calibrated, config, request, progress)
    kept = work.absolute().with_name(f"{work.name}.partial") / PLAN_FILE
    sources = f"{sha256_folder(model_folder)} {sha256_folder(dataset_folder)}"
    asked = f"{config} {request} {calibrated.request} {calibrated.seed} {sources}"
    if kept.is_file() and (found := read_json(kept))["asked"] == asked:
        return msgspec.convert(found["plan"], PlanFile)
    file = _make_plan(model, calibrated, config, request, progress)
    write_json(partial_folder(work) / PLAN_FILE, {"asked": asked, "plan": msgspec.to_builtins(file)})
    return file


def _make_plan(
    model: Any,
    calibrated: Calibrated,
    config: CompressionConfig,
    request: PlanRequest,
    progress: ProgressBar,
) -> PlanFile:
    """Return a plan under the budget; `model` has shapes only."""
    shapes = unit_shapes(model, shared=config.shared_inputs)
    precision = find_precision(request.precision)
    costs = _costs(shapes, precision, calibrated, config, request, progress)
    plan, losses = _allocated(shapes, costs, calibrated, config, progress)
    budget = PlanBudget(
        request.budget,
        config.keep_ratio,
        dense_cost=RankPlan(shapes).cost(costs),
        plan_cost=plan.cost(costs),
        precision="" if request.budget == "parameters" else precision.name,
    )
    allocation = PlanAllocation(
        config.allocation,
        config.rank_multiple,
        config.rank_floor,
        config.dense,
        tokens=losses.tokens if losses else 0,
        probe_tokens=losses.probe_tokens if losses else 0,
        seconds=losses.seconds if losses else 0.0,
    )
    return make_plan_file(model, plan, budget, allocation)


def _costs(
    shapes: dict[str, Shape],
    precision: Precision,
    calibrated: Calibrated,
    config: CompressionConfig,
    request: PlanRequest,
    progress: ProgressBar,
) -> Costs:
    if request.budget == "parameters":
        return PARAMETERS
    if request.budget == "bytes":
        return byte_costs(precision)
    return _latency(shapes, precision, calibrated, config, request, progress).costs()


def _latency(
    shapes: dict[str, Shape],
    precision: Precision,
    calibrated: Calibrated,
    config: CompressionConfig,
    request: PlanRequest,
    progress: ProgressBar,
) -> LatencyTable:
    """Read the table of times, or measure it and write it where it was looked for."""
    if request.costs is not None and request.costs.is_file():
        return read_latency(request.costs, shapes.values(), precision)
    with progress("measuring projections") as bar:
        table = measure_latency(
            shapes.values(),
            precision,
            typical_passes(calibrated.dataset, calibrated.prompt),
            multiple=config.rank_multiple if config.rank_multiple > 1 else 8,
            progress=bar,
        )
    if request.costs is not None:
        write_latency(table, request.costs)
    return table


def typical_passes(dataset: Dataset, prompt: Prompt) -> tuple[tuple[int, int], ...]:
    """Return the passes of a call with a history of median length: (tokens, how often).

    The prompt passes once; then the beams do, once a level but the last.
    """
    items = int(np.median([len(history) for history in dataset.split().test_history]))
    return ((prompt.length(items), 1), (ExportOptions().num_beams, prompt.levels - 1))


def _allocated(
    shapes: dict[str, Shape],
    costs: Costs,
    calibrated: Calibrated,
    config: CompressionConfig,
    progress: ProgressBar,
) -> tuple[RankPlan, LossReport | None]:
    budget = config.budget(costs)
    if config.allocation == "uniform":
        return plan_ranks(shapes, budget), None
    check_budget(shapes, budget)
    losses = _losses(calibrated, shapes, config, progress)
    return allocate(shapes, losses.curves(), budget), losses


def _losses(
    calibrated: Calibrated, shapes: dict[str, Shape], config: CompressionConfig, progress: ProgressBar
) -> LossReport:
    """Measure what the allocation goes by."""
    prompt, probe = calibrated.prompt, []
    if config.allocation == "sensitivity":
        probe = sequence_batches(calibrated.dataset, prompt, BATCH, calibrated.seed + 1, PROBE_SEQUENCES)
    importance = inputs = None
    if config.allocation == "importance":
        # Covariances of all blocks are kept in float32.
        importance = calibrated.importance(progress, reading=product_dtype(config.shrinkage) == torch.float32)
        inputs = calibrated.take_inputs()
    with progress(f"measuring {config.allocation}") as bar:
        return measure_losses(
            load_model(calibrated.model_folder),
            calibrated.batches,
            config,
            shapes,
            probe=probe,
            code_token_ids=code_token_ids(prompt),
            importance=importance,
            inputs=inputs,
            progress=bar,
        )
