"""The whole compression: walk the blocks in order, each behind the already compressed ones.

    statistics of X and X′ → whitening → factors within the rank plan → alignment → next group, next block

One block is worked on at a time and written before the next starts, so a killed run goes on where it stopped.
"""

from __future__ import annotations

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
from compression.blocks import HALVES, Half, embed
from compression.calibration import CalibrationBatch, check_batches
from compression.checkpoint import check_supported
from compression.config import CompressionConfig
from compression.errors import CalibrationError, ConfigError, UnsupportedModelError
from compression.factorize import balance
from compression.importance import Importance, OutputRoot
from compression.lowrank import (
    GROUPS,
    LowRankLinear,
    ProjectionGroup,
    factored_linears,
    members,
    projection_names,
)
from compression.moment_sum import product_dtype
from compression.processes import from_first_process, is_first_process, share_of
from compression.report import CompressionReport, LinearReport, report_linear
from compression.sources import BlockSource, ModelBlocks, factors_of, put_back, put_layers, sharing_copy
from compression.statistics import Moments, Streams, input_moments, output_moments
from compression.whitening import Whitening, no_whitening, whiten
from compression.work import WorkFolder, fingerprint, hash_weights
from odllm_artifact import Progress, silent


@dataclass(frozen=True)
class _Run:
    """What every step of one compression looks at."""

    source: BlockSource
    config: CompressionConfig
    plan: RankPlan
    streams: Streams
    importance: Importance | None

    def root(self, name: str) -> OutputRoot | None:
        """R of the importance of a projection's or stack's outputs."""
        return None if self.importance is None else self.importance.root(name)

    def units(self, block: int) -> list[str]:
        """What of a block has a rank: projections, or stacks of them."""
        return [name for name in self.plan.ranks if name.startswith(f"model.layers.{block}.")]

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.source.model.model.layers)


def compress(
    model: Any,
    batches: Sequence[CalibrationBatch],
    config: CompressionConfig,
    *,
    plan: RankPlan | None = None,
    importance: Importance | None = None,
    work_folder: Path | None = None,
    progress: Progress = silent,
) -> CompressionReport:
    """Replace the projections of `model` by low-rank ones, in place, and report how it went.

    Args:
        model: a dense causal language model of a supported family.
        batches: calibration sequences (of training users only).
        config: what to do.
        plan: ranks to use instead of those that `config` gives.
        importance: of the projections' outputs (`compression.importance`); None takes all errors for equal.
        work_folder: where finished blocks are kept; a later call with the same model, batches, config and plan goes
            on there and gives the same bits. None keeps nothing.
        progress: told after every group of projections.

    Raises:
        UnsupportedModelError: the model is not of the LLaMA family, or is compressed already.
        CheckpointError: a weight is NaN or infinite.
        CalibrationError: no or bad calibration data, fewer tokens than the largest rank, activations that are
            not finite.
        KeepRatioError: the keep ratio cannot be met.
        RankError: `plan` is for a model of other shapes.

    Source: OD-LLM (arXiv 2601.09306), all steps.
    """
    with _evaluating(model):
        return compress_blocks(
            ModelBlocks(model),
            batches,
            config,
            plan=plan,
            importance=importance,
            work_folder=work_folder,
            progress=progress,
        )


def compress_blocks(
    source: BlockSource,
    batches: Sequence[CalibrationBatch],
    config: CompressionConfig,
    *,
    plan: RankPlan | None = None,
    importance: Importance | None = None,
    work_folder: Path | None = None,
    progress: Progress = silent,
) -> CompressionReport:
    """Compress the blocks that `source` opens, one after the other; as `compress`, wherever they come from.

    Where several processes were started (`compression.processes`), each calls this with all the batches.

    Raises:
        CompressionError: as `compress`.
    """
    started = time.monotonic()
    model = source.model
    if plan is None:
        plan = plan_for(model, config)
    # A plan may come of measured times, which are others in each process.
    plan = from_first_process(check_plan(plan, unit_shapes(model, shared=plan.stacked)))
    tokens = check_batches(batches, model.config.vocab_size)
    _check_tokens(tokens, plan, config)
    shared = share_of([batch for batch in batches if batch.tokens])
    before = count_parameters(model)
    work = _open_work(source, batches, config, plan, importance, work_folder)
    linears: list[LinearReport] = []
    resumed = 0
    _check_measured(config, importance)
    if plan.ranks:
        with torch.no_grad():
            run = _Run(source, config, plan, _start_streams(source, shared), importance)
            for block in range(run.blocks):
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
        ConfigError: the allocation has to be measured (`compression.sensitivity`, `compression.greedy`).
    """
    if config.allocation != "uniform":
        raise ConfigError(
            f"allocation {config.allocation!r} makes its plan from measurements: give compress a plan "
            "(`measured_plan`), or choose allocation 'uniform'"
        )
    return plan_ranks(unit_shapes(model, shared=config.shared_inputs), config.budget())


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


def unit_shapes(model: Any, *, shared: bool) -> dict[str, Shape]:
    """Return (m, n) of everything that gets a rank, by name, in forward order.

    That is every projection of a dense model; if input factors are `shared`, the projections that read one input are
    one matrix of all their rows, named as `ProjectionGroup.stack`.

    Raises:
        UnsupportedModelError: the model is not of the LLaMA family, or is compressed already.
    """
    shapes = dense_shapes(model)
    if not shared:
        return shapes
    stacked: dict[str, Shape] = {}
    for block in range(len(model.model.layers)):
        for group in GROUPS:
            name = f"model.layers.{block}.{group.stack}"
            stacked[name] = (sum(shapes[member][0] for member in members(name)), shapes[members(name)[0]][1])
    return stacked


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _check_measured(config: CompressionConfig, importance: Importance | None) -> None:
    if config.weigh_outputs != (importance is not None):
        raise ConfigError(
            f"weigh_outputs is {config.weigh_outputs} and importance is {'not ' * (importance is None)}given. "
            "Give what `output_importance` returns with weigh_outputs, and only then."
        )


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


def _open_work(
    source: BlockSource,
    batches: Sequence[CalibrationBatch],
    config: CompressionConfig,
    plan: RankPlan,
    importance: Importance | None,
    folder: Path | None,
) -> WorkFolder | None:
    """Check the weights and open the folder of finished blocks, in the process that keeps them."""
    if not is_first_process():
        return None
    weights = hash_weights(source.weights())
    if folder is None:
        return None
    if importance is not None:
        weights += hash_weights(importance.matrices.items())
    return WorkFolder(folder, fingerprint(source.model, weights, batches, config, plan.ranks))


def _start_streams(source: BlockSource, batches: Sequence[CalibrationBatch]) -> Streams:
    with source.open_embedding() as model:
        embedded = [embed(model, batch) for batch in batches]
    hidden = [states for states, _ in embedded]
    return Streams([inputs for _, inputs in embedded], hidden, [states.clone() for states in hidden])


def _finish_block(
    run: _Run, block: int, work: WorkFolder | None, progress: Progress
) -> tuple[list[LinearReport], bool]:
    """Compress a block, or take it over from an earlier run; move the streams behind it."""
    found = from_first_process(None if work is None else work.load(block))
    with run.source.open_block(block) as shifted:
        dense = sharing_copy(shifted)
        if found is not None:
            tensors, reports = found
            put_back(run.source, run.units(block), tensors)
            _move_on(run, dense, shifted)
            progress(block + 1, run.blocks, f"block {block + 1} of {run.blocks}, done before")
            return reports, True
        reports = []
        for number, half in enumerate(HALVES):
            reports += _compress_half(run, block, half, dense, shifted)
            progress(block + (number + 1) / len(HALVES), run.blocks, f"block {block + 1} of {run.blocks}")
        if work is not None:
            work.save(block, factors_of(run.source, block), reports)
    return reports, False


def _move_on(run: _Run, dense: nn.Module, shifted: nn.Module) -> None:
    for half in HALVES:
        run.streams.advance_dense(dense, half)
        run.streams.advance_shifted(shifted, half)


def _compress_half(run: _Run, block: int, half: Half, dense: nn.Module, shifted: nn.Module) -> list[LinearReport]:
    """Compress the projections of half a block, the last one behind the others; move the streams behind it."""
    block_name, config, streams = f"model.layers.{block}", run.config, run.streams
    products = product_dtype(config.shrinkage)
    reports = []
    if names := _planned(run, block_name, half.reads):
        # Not kept in a name: the largest matrices of the run are gone before the next ones are made.
        reports += _compress_group(
            run, names, input_moments(streams, dense, shifted, half, block_name=block_name, products=products)
        )
    if names := _planned(run, block_name, half.writes):
        moments = output_moments(
            streams,
            dense,
            shifted,
            half,
            block_name=block_name,
            dense=config.alignment != "free",
            residual=config.residual_targets,
            root=run.root(names[0]),
            products=products,
            # As a rule less memory than the gradients took.
            keep=run.importance is not None and not (block + 1 == run.blocks and half is HALVES[-1]),
        )
        reports += _compress_group(run, names, moments)
    else:
        streams.advance_dense(dense, half)
    if block + 1 < run.blocks or half is not HALVES[-1]:
        streams.advance_shifted(shifted, half)
    return reports


def _planned(run: _Run, block_name: str, group: ProjectionGroup) -> list[str]:
    """Return what of a group has a rank: projections, or their stack."""
    names = [f"{block_name}.{projection}" for projection in (*group.projections, group.stack)]
    return [name for name in dict.fromkeys(names) if name in run.plan.ranks]


def _compress_group(run: _Run, names: Sequence[str], moments: Moments) -> list[LinearReport]:
    """Replace projections which share their inputs and so their statistics; the first process does the algebra."""
    made = None
    if is_first_process():
        whitening = _whitening_of(moments, run.config)
        made = [_compress_linear(run, name, moments, whitening) for name in names]
    made = from_first_process(made)
    assert made is not None
    for name, (layers, _) in zip(names, made, strict=True):
        put_layers(run.source, members(name), layers)
    return [report for _, report in made]


def _whitening_of(moments: Moments, config: CompressionConfig) -> Whitening:
    """The paper whitens the dense inputs; the free solution needs the inputs it will really meet."""
    covariance = moments.shifted if config.alignment == "free" or moments.dense is None else moments.dense
    if not config.normalize:
        return no_whitening(covariance)
    return whiten(covariance, config.shrinkage_of(len(covariance), moments.tokens), config.route)


def _compress_linear(
    run: _Run, name: str, moments: Moments, whitening: Whitening
) -> tuple[list[LowRankLinear], LinearReport]:
    """Return the layers of a projection, or of all projections of a stack, and how they came out."""
    dense = [run.source.model.get_submodule(member) for member in members(name)]
    weight = torch.cat([linear.weight for linear in dense]).double()  # [m, n]
    root = run.root(name)
    weighed = weight if root is None else root.weigh(weight.mT).mT  # Rᵀ W
    aligned = align(
        weighed,
        make_target(weighed, moments, run.config.alpha),
        whitening,
        run.plan.ranks[name],
        alignment=run.config.alignment,
        tokens=moments.tokens,
        sweeps=run.config.sweeps,
    )
    factors = aligned.factors
    output_factor, input_factor = factors.output_factor, factors.input_factor
    if root is not None:
        output_factor, input_factor = balance(root.unweigh(output_factor.mT).mT, input_factor)  # R⁻ᵀ A
    # Rounded as they will be stored: what comes behind shall see, and repair, what the model will compute.
    stored = run.source.stored_dtype(members(name)[0])
    output_factor, input_factor = (
        factor.to(stored).to(dense[0].weight.dtype).contiguous() for factor in (output_factor, input_factor)
    )
    layers = [
        LowRankLinear.from_factors(
            rows.contiguous(), input_factor, None if linear.bias is None else linear.bias.detach().clone()
        )
        for linear, rows in zip(dense, output_factor.split([linear.out_features for linear in dense]), strict=True)
    ]
    return layers, report_linear(name, (weight.shape[0], weight.shape[1]), aligned)
