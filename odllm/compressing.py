"""Compression and recovery of recommender folders: the algebra of `compression`, the sequences of `lcrec`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import torch

from compression.calibration import CalibrationBatch
from compression.checkpoint import load_model, save_model
from compression.config import CompressionConfig
from compression.plan_file import PLAN_FILE, PlanFile, write_plan
from compression.processes import from_first_process, is_first_process, joined_processes, write_folder_once
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig, RecoveryMethod, RecoveryReport
from compression.streaming import compress_checkpoint
from compression.trainable import require_installed
from lcrec.calibration import CalibrationReport, CalibrationRequest, choose_calibration
from lcrec.dataset import Dataset, load_dataset
from lcrec.evaluate import dataset_catalog, evaluate, model_ranker
from lcrec.model import code_token_ids
from lcrec.prompt import Prompt, read_card
from lcrec.windows import TokenBatch, training_batches
from odllm_artifact import Progress, partial_folder, read_json, sha256_folder, silent, write_json

ProgressBar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a bar with a title, as `odllm.console.progress_bar` does."""

CARRIED_OVER = ("recommender.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""What makes a language model's folder a recommender: the same for the compressed one."""

REPORT = "compression.json"
CALIBRATION_BATCH = 32
RECOVERY_BATCH = 8
"""Sequences a step: in the same time, many small steps recover more than few large ones (measured at 50 s)."""

VALIDATION_USERS = 1000


def compress_folder(
    model_folder: Path,
    dataset_folder: Path,
    out: Path,
    *,
    config: CompressionConfig,
    calibration: CalibrationRequest,
    plan: PlanFile | None = None,
    recovery: RecoveryConfig | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: ProgressBar,
) -> dict[str, Any]:
    """Compress the model of a folder into the folder `out` and return what its `compression.json` says.

    `plan` decides the ranks instead of `config`, and is written beside the model. One block of the model is in memory
    at a time. Under `accelerate launch` the processes share calibration and recovery; only the first one writes and has
    something to return.

    Raises:
        CompressionError: the model or the calibration data cannot be used, or the ratio cannot be met.
        LcrecError: the dataset or the recommender is damaged.
        ArtifactError: `out` is in the way.
    """
    if recovery is not None:
        require_installed(recovery)
    dataset, prompt = load_dataset(dataset_folder), read_card(model_folder).prompt
    batches, chosen = calibration_batches(dataset, prompt, calibration, seed)
    with joined_processes(), write_folder_once(out, overwrite=overwrite) as folder:
        work, ranks = partial_folder(out) / "blocks", None if plan is None else plan.plan()
        with _first(progress)("compressing") as bar:
            report = compress_checkpoint(
                model_folder, folder, batches, config, plan=ranks, work_folder=work, progress=bar
            )
        recovered = None
        if recovery is not None and from_first_process(bool(report.linears)):
            student = load_model(from_first_process(folder))
            recovered = _distil(student, model_folder, dataset, prompt, recovery, progress)
            if is_first_process():
                save_model(student, folder)
        if not is_first_process():
            return {}
        record = msgspec.to_builtins(report) | {
            "calibration": msgspec.to_builtins(chosen),
            "recovery": msgspec.to_builtins(recovered),
            "sources": {"model": sha256_folder(model_folder), "dataset": sha256_folder(dataset_folder)},
            "seed": seed,
        }
        _carry_over(model_folder, folder, record)
        if plan is not None:
            write_plan(plan, folder / PLAN_FILE)
    return record


def recover_folder(
    compressed: Path,
    dense: Path,
    dataset_folder: Path,
    out: Path,
    *,
    config: RecoveryConfig,
    overwrite: bool = False,
    progress: ProgressBar,
) -> dict[str, Any]:
    """Distil the factors of a compressed model from the dense one into the folder `out`.

    Returns:
        What the new `compression.json` says; under `accelerate launch` to the first process only, which writes.

    Raises:
        CompressionError: `compressed` has no factors, or a folder is damaged.
        LcrecError: the dataset or the recommender is damaged.
        ArtifactError: `out` is in the way.
    """
    require_installed(config)
    dataset, prompt = load_dataset(dataset_folder), read_card(dense).prompt
    report = read_json(compressed / REPORT) if (compressed / REPORT).is_file() else {}
    student = load_model(compressed)
    with joined_processes(), write_folder_once(out, overwrite=overwrite) as folder:
        recovery = _distil(student, dense, dataset, prompt, config, progress)
        if not is_first_process():
            return {}
        record: dict[str, Any] = report | {"recovery": msgspec.to_builtins(recovery)}
        save_model(student, folder)
        _carry_over(compressed, folder, record)
        if (compressed / PLAN_FILE).is_file():
            shutil.copyfile(compressed / PLAN_FILE, folder / PLAN_FILE)
    return record


def recovery_options(
    seconds: float | None,
    method: RecoveryMethod = "factors",
    seed: int = 0,
    *,
    max_steps: int | None = None,
    lora_rank: int = 16,
) -> RecoveryConfig:
    """Return the measured best options of a recommender's recovery within a budget.

    Raises:
        ConfigError: not one budget, or an option is out of range.
    """
    # Validated at the start and the end only: in between it costs steps, and picks by noise.
    return RecoveryConfig(
        seconds=seconds, max_steps=max_steps, method=method, lora_rank=lora_rank, seed=seed, validations=1
    )


def calibration_batches(
    dataset: Dataset, prompt: Prompt, request: CalibrationRequest, seed: int
) -> tuple[list[CalibrationBatch], CalibrationReport]:
    """Return the batches that calibrate a compression, and what is said of their choice."""
    chosen = choose_calibration(dataset, [prompt], request, batch_size=CALIBRATION_BATCH, seed=seed)
    return _as_calibration(chosen.batches), chosen.report


def sequence_batches(
    dataset: Dataset, prompt: Prompt, size: int, seed: int, sequences: int | None = None
) -> list[CalibrationBatch]:
    """Return batches of `size` training sequences drawn alike; at most `sequences` of them, all if not given."""
    return _as_calibration(training_batches(dataset, prompt, size, seed=seed, max_windows=sequences))


def _as_calibration(batches: Sequence[TokenBatch]) -> list[CalibrationBatch]:
    return [CalibrationBatch(torch.from_numpy(b.ids), torch.from_numpy(b.real).long()) for b in batches]


def _first(progress: ProgressBar) -> ProgressBar:
    """Have a bar in the first process only."""
    return progress if is_first_process() else lambda _: nullcontext(silent)


def _distil(
    student: Any, dense: Path, dataset: Dataset, prompt: Prompt, config: RecoveryConfig, progress: ProgressBar
) -> RecoveryReport:
    """Distil on the training sequences, unless the factors were better before, by validation NDCG@10."""
    split, catalog, codes = dataset.split(), dataset_catalog(dataset), dataset.require_codes().codes

    def validate(model: Any) -> float:
        ranker = model_ranker(model, prompt, catalog, num_beams=10)
        users = slice(VALIDATION_USERS)
        found = evaluate(ranker, split.validation_history[users], split.validation_target[users], codes)
        return float(found.summary()["ndcg@10"])  # type: ignore[arg-type]

    with _first(progress)("recovering") as bar:
        return recover(
            student,
            load_model(dense),
            sequence_batches(dataset, prompt, RECOVERY_BATCH, config.seed),
            config,
            code_token_ids=code_token_ids(prompt),
            validate=validate,
            progress=bar,
        )


def _carry_over(source: Path, folder: Path, record: dict[str, Any]) -> None:
    for name in CARRIED_OVER:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    write_json(folder / REPORT, record)
