"""What a fine-tuning will take, before it is begun: samples, steps, memory, time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from lcrec.finetune.assembly import assemble, computes_in_bfloat16
from lcrec.finetune.batches import EpochPlan, plan_epoch
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.devices import is_sharded, join_devices
from lcrec.finetune.job import Job, gather
from lcrec.finetune.learning import Learner, total_parameters
from lcrec.finetune.memory import Memory, estimate_memory
from lcrec.finetune.preflight import kept_bytes
from lcrec.finetune.stepping import learned_tokens
from lcrec.tasks.encoding import EncodedSample
from lcrec.tasks.mixture import TaskMixture
from lcrec.tasks.preview import preview

MEASURED_STEPS = 3
"""Steps that are timed, behind one that is not."""


class TaskCount(msgspec.Struct):
    """Samples of a task, their tokens, and those of them that carry loss, an epoch."""

    samples: int = 0
    tokens: int = 0
    learned_tokens: int = 0


class DryRun(msgspec.Struct, kw_only=True):
    """What a run will take.

    Attributes:
        tasks: samples and tokens an epoch by task.
        padding: share of what is computed that is padding.
        steps_an_epoch: of the first epoch; others differ by a little.
        steps: of the whole run, unless it stops early.
        samples_a_step: on average, over all devices.
        process: this one's number.
        devices: that take part.
        idle: share of the devices' turns without a batch: a step has too few.
        parameters: of the model, adapters included.
        learned_parameters: of them, those that learn.
        memory: of one device, as the recipe says.
        other_memory: the same with gradient checkpointing where the recipe goes without, and without where with.
        disk_bytes: kept on the disk at once.
        tokens_per_second: of all devices, padding left out; None if neither measured nor given.
        measured: whether that was measured here.
        seconds: of the whole run without validations; None without a throughput.
        flops_a_token: 6 a weight that products read, the head's where a token is predicted only; 4 instead of 6 where
            only adapters or rows learn.
        peak_share: of the peak that was given.
        previews: a sample a task, the learned parts marked.
    """

    tasks: dict[str, TaskCount]
    padding: float
    steps_an_epoch: int
    steps: int
    samples_a_step: float
    process: int
    devices: int
    idle: float
    parameters: int
    learned_parameters: int
    memory: Memory
    other_memory: Memory
    disk_bytes: int
    tokens_per_second: float | None
    measured: bool
    seconds: float | None
    flops_a_token: int
    peak_share: float | None
    previews: dict[str, str]


def dry_run(
    job: Job, *, tokens_per_second: float | None = None, measure: bool = True, peak_tflops: float | None = None
) -> DryRun:
    """Say what a job will take; nothing is written. Called by every process of a launch, the same in all.

    Args:
        job: what would be done.
        tokens_per_second: an assumed throughput of all devices, padding left out, instead of a measured one.
        measure: take a few steps; without, the base's weights are not even read.
        peak_tflops: of one device, in the type that products are computed in, for the share of it that is reached.

    Raises:
        FineTuningError: as `fine_tune`.
    """
    config, accelerator = job.config, join_devices()
    measure = measure and tokens_per_second is None
    material = gather(job, weights=measure)
    start, mixture = material.start, material.mixture
    samples = mixture.epoch(config.seed * 1000)
    plan = plan_epoch(samples.lengths(), config, 0)
    tasks, predicted = _count(samples)
    saved_type, in_bfloat16 = start.model.dtype, computes_in_bfloat16(config, accelerator.device)
    learner = Learner(start, config, in_bfloat16=in_bfloat16)
    learned, total = total_parameters(learner.model)
    memory = _memories(learner.model, config, plan, predicted, accelerator)
    disk = kept_bytes(learner.model, saved_type, config)
    multiplied = _multiplied(learner.model, predicted_share=int(predicted.sum()) / plan.tokens)
    flops = round((6 if config.learning == "full" else 4) * multiplied)
    rate = _measured_rate(learner, mixture, plan, config, accelerator) if measure else tokens_per_second
    steps = len(plan.steps) * config.epochs
    steps = steps if config.max_steps is None else min(steps, config.max_steps)
    peak = None if peak_tflops is None else peak_tflops * 1e12 * accelerator.num_processes
    accelerator.end_training()
    return DryRun(
        tasks=tasks,
        padding=plan.padding,
        steps_an_epoch=len(plan.steps),
        steps=steps,
        samples_a_step=len(samples) / len(plan.steps),
        process=accelerator.process_index,
        devices=accelerator.num_processes,
        idle=_idle(plan, accelerator.num_processes),
        parameters=total,
        learned_parameters=learned,
        memory=memory[config.gradient_checkpointing],
        other_memory=memory[not config.gradient_checkpointing],
        disk_bytes=disk,
        tokens_per_second=rate,
        measured=measure,
        seconds=None if rate is None else plan.tokens * steps / len(plan.steps) / rate,
        flops_a_token=flops,
        peak_share=None if peak is None or rate is None else flops * rate / peak,
        previews={one.task: one.text for one in preview(mixture, config.seed * 1000)},
    )


def _count(samples: Sequence[EncodedSample]) -> tuple[dict[str, TaskCount], NDArray[np.int64]]:
    """Count samples and tokens by task, and the predicted tokens of every sample."""
    counts: dict[str, TaskCount] = {}
    predicted = np.zeros(len(samples), np.int64)
    for number, sample in enumerate(samples):
        predicted[number] = learned_tokens([[sample]])
        count = counts.setdefault(sample.task, TaskCount())
        count.samples += 1
        count.tokens += len(sample.ids)
        count.learned_tokens += int(predicted[number])
    return counts, predicted


def _memories(
    model: Any, config: FineTuneConfig, plan: EpochPlan, predicted: NDArray[np.int64], accelerator: Accelerator
) -> dict[bool, Memory]:
    """Return the memory without and with gradient checkpointing, at the batch of most predicted tokens."""
    most = max(int(predicted[batch].sum()) for step in plan.steps for batch in step)
    in_bfloat16 = computes_in_bfloat16(config, accelerator.device)
    shards = accelerator.num_processes if is_sharded(accelerator) else 1
    return {
        checkpointing: estimate_memory(
            model,
            config,
            tokens=max(config.device_tokens, plan.longest),
            predicted_tokens=most,
            in_bfloat16=in_bfloat16,
            checkpointing=checkpointing,
            shards=shards,
        )
        for checkpointing in (False, True)
    }


def _multiplied(model: Any, *, predicted_share: float) -> float:
    """Return the weights that a token is multiplied with: those of the blocks' matrices, and a share of the head's."""
    weights = sum(weight.numel() for weight in model.parameters() if weight.dim() > 1)
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    tables = head.numel() + (0 if head is embedding else embedding.numel())
    return weights - tables + predicted_share * head.numel()


def _idle(plan: EpochPlan, devices: int) -> float:
    batches = sum(map(len, plan.steps))
    turns = sum(-(-len(step) // devices) * devices for step in plan.steps)
    return 1 - batches / max(turns, 1)


def _measured_rate(
    learner: Learner, mixture: TaskMixture, plan: EpochPlan, config: FineTuneConfig, accelerator: Accelerator
) -> float:
    """Return tokens a second over a few steps, all that a step does included."""
    stepper, samples = assemble(learner, config, accelerator).stepper, mixture.epoch(config.seed * 1000)
    tokens, seconds = 0, 0.0
    for number, step in enumerate(plan.steps[: MEASURED_STEPS + 1]):
        batches = [[samples[i] for i in batch] for batch in step]
        began = time.monotonic()
        stepper.step(batches, number, 0.5)
        if number or len(plan.steps) == 1:  # the first one also allocates
            seconds += time.monotonic() - began
            tokens += sum(len(sample.ids) for batch in batches for sample in batch)
    return tokens / max(seconds, 1e-9)
