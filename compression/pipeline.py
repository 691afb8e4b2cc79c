"""The whole compression: walk the blocks in order, each behind the already compressed ones.

    statistics of X and X′ → whitening → factors within the rank plan → alignment → next group, next block

One block is worked on at a time and written before the next starts, so a killed run goes on where it stopped.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compression.alignment import align, make_target
from compression.allocation import RankPlan, Shape, check_plan, plan_ranks
from compression.blocks import embed
from compression.calibration import CalibrationBatch, check_batches
from compression.checkpoint import check_supported
from compression.config import CompressionConfig
from compression.errors import CalibrationError, UnsupportedModelError
from compression.lowrank import (
    GROUPS,
    LowRankLinear,
    ProjectionGroup,
    factored_linears,
    projection_names,
    replace_linear,
)
from compression.report import CompressionReport, LinearReport, report_linear
from compression.statistics import Moments, Streams, collect_moments
from compression.whitening import Whitening, no_whitening, whiten
from compression.work import WorkFolder, fingerprint
from odllm_artifact import Progress, silent


@dataclass(frozen=True)
class _Run:
    """What every step of one compression looks at."""

    model: Any
    config: CompressionConfig
    plan: RankPlan
    streams: Streams


def compress(
    model: Any,
    batches: Sequence[CalibrationBatch],
    config: CompressionConfig,
    *,
    plan: RankPlan | None = None,
    work_folder: Path | None = None,
    progress: Progress = silent,
) -> CompressionReport:
    """Replace the projections of `model` by low-rank ones, in place, and report how it went.

    Args:
        model: a dense causal language model of a supported family.
        batches: calibration sequences (of training users only).
        config: what to do.
        plan: ranks to use instead of those that `config` gives.
        work_folder: where finished blocks are kept; a later call with the same model, batches, config and plan goes
            on there and gives the same bits. None keeps nothing.
        progress: told after every group of projections.

    Raises:
        UnsupportedModelError: the model is not of the LLaMA family, or is compressed already.
        CalibrationError: no or bad calibration data, fewer tokens than the largest rank, activations that are
            not finite.
        KeepRatioError: the keep ratio cannot be met.
        RankError: `plan` is for a model of other shapes.

    Source: OD-LLM (arXiv 2601.09306), all steps.
    """
    started = time.monotonic()
    plan = plan_for(model, config) if plan is None else check_plan(plan, dense_shapes(model))
    tokens = check_batches(batches, model.config.vocab_size)
    _check_tokens(tokens, plan, config)
    before = count_parameters(model)
    work = None if work_folder is None else WorkFolder(work_folder, fingerprint(model, batches, config, plan.ranks))
    linears: list[LinearReport] = []
    resumed = 0
    with torch.no_grad(), _evaluating(model):
        run = _Run(model, config, plan, _start_streams(model, batches))
        for block in range(len(model.model.layers) if plan.ranks else 0):
            reports, was_there = _finish_block(run, block, work, progress)
            linears += reports
            resumed += was_there
    after = count_parameters(model)
    return CompressionReport(
        config=config,
        keep_ratio=plan.achieved_keep_ratio,
        model_size_ratio=after / before,
        parameters_before=before,
        parameters_after=after,
        sequences=sum(len(batch.input_ids) for batch in batches),
        tokens=tokens,
        blocks_resumed=resumed,
        seconds=time.monotonic() - started,
        linears=tuple(linears),
    )


def plan_for(model: Any, config: CompressionConfig) -> RankPlan:
    """Return the ranks that `config` gives the projections of a dense model, without touching it.

    Raises:
        UnsupportedModelError: the model is not of the LLaMA family, or is compressed already.
        KeepRatioError: the keep ratio cannot be met.
    """
    return plan_ranks(
        dense_shapes(model),
        config.keep_ratio,
        multiple=config.rank_multiple,
        floor=config.rank_floor,
        dense=config.dense,
    )


def dense_shapes(model: Any) -> dict[str, Shape]:
    """Return (m, n) of every projection of a dense model by full module name, in forward order.

    Raises:
        UnsupportedModelError: the model is not of the LLaMA family, or is compressed already.
    """
    check_supported(model.config)
    already = factored_linears(model)
    if already:
        raise UnsupportedModelError(
            f"{len(already)} projections of this model are low-rank already. Compress the dense model it came from."
        )
    return {name: tuple(model.get_submodule(name).weight.shape) for name in projection_names(model)}


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _check_tokens(tokens: int, plan: RankPlan, config: CompressionConfig) -> None:
    largest = max(plan.ranks.values(), default=0)
    if tokens < largest and (config.normalize or config.alignment != "none"):
        raise CalibrationError(
            f"{tokens} calibration tokens cannot determine factors of rank {largest}. "
            "Give more sequences, or lower keep_ratio."
        )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout while the statistics are taken."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _start_streams(model: Any, batches: Sequence[CalibrationBatch]) -> Streams:
    embedded = [embed(model, batch) for batch in batches if batch.tokens]
    hidden = [states for states, _ in embedded]
    return Streams([inputs for _, inputs in embedded], list(hidden), list(hidden))


def _finish_block(
    run: _Run, block: int, work: WorkFolder | None, progress: Progress
) -> tuple[list[LinearReport], bool]:
    """Compress a block, or take it over from an earlier run; move the streams behind it."""
    blocks = len(run.model.model.layers)
    dense_block = copy.deepcopy(run.model.model.layers[block])
    found = None if work is None else work.load(block)
    if found is None:
        reports = []
        for number, group in enumerate(GROUPS):
            reports += _compress_group(run, block, dense_block, group)
            progress(block + (number + 1) / len(GROUPS), blocks, f"block {block + 1} of {blocks}")
        if work is not None:
            work.save(block, _factors_of(run.model, block), reports)
    else:
        tensors, reports = found
        _put_back(run.model, tensors)
        progress(block + 1, blocks, f"block {block + 1} of {blocks}, done before")
    if block + 1 < blocks:
        run.streams.advance(dense_block, run.model.model.layers[block])
    return reports, found is not None


def _compress_group(run: _Run, block: int, dense_block: nn.Module, group: ProjectionGroup) -> list[LinearReport]:
    """Replace the projections of one group, which share their inputs and so their statistics."""
    block_name = f"model.layers.{block}"
    names = {projection: f"{block_name}.{projection}" for projection in group.projections}
    if not any(name in run.plan.ranks for name in names.values()):
        return []
    moments = collect_moments(
        run.streams,
        dense_block,
        run.model.model.layers[block],
        group,
        block_name=block_name,
        dense=run.config.alignment != "free",
        residual=run.config.residual_targets,
    )
    whitening = _whitening_of(moments, run.config)
    return [
        _compress_linear(run, name, projection, moments, whitening)
        for projection, name in names.items()
        if name in run.plan.ranks
    ]


def _whitening_of(moments: Moments, config: CompressionConfig) -> Whitening:
    """The paper whitens the dense inputs; the free solution needs the inputs it will really meet."""
    covariance = moments.shifted if moments.dense is None else moments.dense
    if not config.normalize:
        return no_whitening(covariance)
    # Few tokens per unknown make the solution fit noise (measured: without this, 400 tokens for 352 inputs were
    # worse than plain SVD; with it they beat it). It fades away as the calibration grows.
    return whiten(covariance, config.shrinkage + config.scarcity * len(covariance) / moments.tokens, config.route)


def _compress_linear(run: _Run, name: str, projection: str, moments: Moments, whitening: Whitening) -> LinearReport:
    dense = run.model.get_submodule(name)
    weight = dense.weight.double()
    aligned = align(
        weight,
        make_target(weight, moments, projection, run.config.alpha),
        whitening,
        run.plan.ranks[name],
        alignment=run.config.alignment,
        tokens=moments.tokens,
        sweeps=run.config.sweeps,
    )
    output_factor, input_factor = (
        factor.to(dense.weight.dtype).contiguous()
        for factor in (aligned.factors.output_factor, aligned.factors.input_factor)
    )
    bias = None if dense.bias is None else dense.bias.detach().clone()
    replace_linear(run.model, name, LowRankLinear.from_factors(output_factor, input_factor, bias))
    return report_linear(name, (weight.shape[0], weight.shape[1]), aligned)


def _factors_of(model: nn.Module, block: int) -> dict[str, torch.Tensor]:
    prefix = f"model.layers.{block}."
    return {
        f"{name}.{part}": tensor
        for name, layer in factored_linears(model).items()
        if name.startswith(prefix)
        for part, tensor in layer.state_dict().items()
    }


def _put_back(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the projections whose factors an earlier run has written."""
    suffix = ".input_factor.weight"
    for key in [key for key in tensors if key.endswith(suffix)]:
        name = key.removesuffix(suffix)
        layer = LowRankLinear.from_factors(
            tensors[f"{name}.output_factor.weight"], tensors[key], tensors.get(f"{name}.output_factor.bias")
        )
        replace_linear(model, name, layer.to(model.model.embed_tokens.weight.device))
