"""Fine-tuning from a base to a recommender's folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from accelerate import Accelerator
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from lcrec.finetune.assembly import Parts, assemble, computes_in_bfloat16
from lcrec.finetune.checkpoints import Checkpoints
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.devices import is_sharded, join_devices, put_shards_back
from lcrec.finetune.job import Job, gather
from lcrec.finetune.learning import Learner, total_parameters
from lcrec.finetune.loop import Loop, RunState
from lcrec.finetune.origin import origin_of
from lcrec.finetune.preflight import check_room
from lcrec.finetune.starting import Start
from lcrec.finetune.validation import make_judge
from lcrec.pretrained import base_model
from lcrec.prompt import RecommenderCard, write_card
from lcrec.train import save_language_model
from odllm_artifact import Progress, partial_folder, resolve_output, silent, write_folder

ADAPTER_FOLDER = "adapter"
"""Where in the model's folder LoRA's adapter is kept on request."""


def fine_tune(
    job: Job,
    out: Path,
    *,
    facts: dict[str, str],
    overwrite: bool = False,
    restart: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fine-tune a base on a dataset and write the recommender's folder; a killed run goes on from its checkpoint.

    Called by every process of an `accelerate launch`: they share the batches, and the first one writes.

    Args:
        job: what is to be done.
        out: the model folder.
        facts: what `recommender.json` says about the data (`dataset_facts`).
        overwrite: replace a folder that is there.
        restart: throw away an unfinished run's checkpoints.
        progress: told after every step, in the first process.

    Returns:
        What `recommender.json` says about the training; nothing in processes that do not write.

    Raises:
        FineTuningError: the base, the recipe, the disk or a checkpoint does not fit, or a loss is not finite.
        ItemCodesError: the dataset has no codes, or the base speaks others.
        TaskError: a task cannot be made of this dataset.
        ArtifactError: `out` is in the way.
    """
    resolve_output(out, overwrite=overwrite)
    config, accelerator = job.config, join_devices()
    material = gather(job)
    start, mixture = material.start, material.mixture
    origin = origin_of(start.model, material.dataset, config)
    learner = Learner(start, config, in_bfloat16=computes_in_bfloat16(config, accelerator.device))
    report: dict[str, Any] = {"method": "fine-tuning", "base_model": base_model(job.base)}
    report["users"] = len(material.dataset.users)
    report["learned_parameters"], report["parameters"] = total_parameters(learner.model)
    folder = partial_folder(out) / "checkpoints"
    _clear(folder, accelerator, restart=restart)
    check_room(folder, learner.model, start.model.dtype, config)
    parts = assemble(learner, config, accelerator)
    judge = make_judge(parts, mixture, material.dataset, config, accelerator)
    checkpoints = Checkpoints(folder, origin, parts.plain, parts.optimizer, accelerator)
    bar = progress if accelerator.is_main_process else silent
    report |= _reached(Loop(parts.stepper, mixture, config, accelerator, checkpoints, judge, bar).run())
    report |= {"processes": accelerator.num_processes, "bfloat16": parts.in_bfloat16}
    report |= {"origin": origin, "config": msgspec.to_builtins(config)}
    whole = _whole(parts, learner, accelerator, lambda: Learner(job.start(), config, in_bfloat16=parts.in_bfloat16))
    if whole is not None:
        card = RecommenderCard(mixture.prompt, start.text, facts, report, mixture.templates)
        with write_folder(out, overwrite=overwrite) as staging:
            _write(whole, start, card, config, staging)
    accelerator.wait_for_everyone()
    accelerator.end_training()  # a process that ends while gloo's threads run may be aborted
    return report if accelerator.is_main_process else {}


def _clear(folder: Path, accelerator: Accelerator, *, restart: bool) -> None:
    if accelerator.is_main_process:
        if restart:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
    accelerator.wait_for_everyone()


def _whole(parts: Parts, learner: Learner, accelerator: Accelerator, again: Callable[[], Learner]) -> Learner | None:
    """Return what has learned, whole, in the first process; None in the others. Shards are put together in another."""
    if not is_sharded(accelerator):
        return learner if accelerator.is_main_process else None
    put_shards_back(parts.plain)
    values = get_model_state_dict(parts.plain, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not accelerator.is_main_process:
        return None
    whole = again()
    for name, weight in whole.model.named_parameters():
        if weight.requires_grad:
            weight.data.copy_(values[f"model.{name}"])
    return whole


def _write(learner: Learner, start: Start, card: RecommenderCard, config: FineTuneConfig, folder: Path) -> None:
    if config.keep_adapter:
        learner.write_adapter(folder / ADAPTER_FOLDER)
    save_language_model(learner.merged(), start.tokenizer, folder)
    write_card(card, folder)


def _reached(state: RunState) -> dict[str, Any]:
    """Return a run's figures: seconds of this machine, tokens without padding, losses in nats a response's token."""
    return {
        "seconds": state.seconds,
        "steps": state.steps,
        "epochs": state.epoch,
        "tokens": state.tokens,
        "tokens_per_second": state.tokens / max(state.seconds, 1e-9),
        "best_step": state.best_step,
        "best": next(row for row in state.history if row["step"] == state.best_step),
        "history": state.history,
    }
