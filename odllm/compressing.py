"""Compression and recovery of recommender folders: the algebra of `compression`, the sequences of `lcrec`."""

from __future__ import annotations

import math
import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from compression.calibration import CalibrationBatch
from compression.checkpoint import load_model, save_model
from compression.config import CompressionConfig
from compression.plan_file import PLAN_FILE, PlanFile, write_plan
from compression.processes import from_first_process, is_first_process, joined_processes, write_folder_once
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig, RecoveryMethod, RecoveryReport
from compression.streaming import compress_checkpoint
from compression.trainable import require_installed
from lcrec.dataset import Dataset, load_dataset
from lcrec.dataset_match import check_codes
from lcrec.evaluate import dataset_catalog
from lcrec.model import code_token_ids
from lcrec.prompt import Prompt, read_card
from odllm.calibrating import Calibrated, ProgressBar, legal_choices, sequence_batches
from odllm.judging import validation_ndcg, validation_surprise
from odllm.planning import PlanRequest, find_plan
from odllm_artifact import Progress, partial_folder, read_json, sha256_folder, silent, write_json

CARRIED_OVER = ("recommender.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""What makes a language model's folder a recommender: the same for the compressed one."""

REPORT = "compression.json"
RECOVERY_BATCH = 8
"""Sequences a step: in the same time, many small steps recover more than few large ones (measured at 50 s)."""

RECOVERY_LEFT_OUT = 0.2
"""Share of the items left out of the sequences of a recovery (measured: docs/compression.md)."""

RECOVERY_SEQUENCES = 20_000
"""Of a small dataset, windows are there several times until there are about so many, each time with other gaps."""

RECOVERY_ROUNDS = 16
"""But not more often than this."""


def compress_folder(
    calibrated: Calibrated,
    out: Path,
    *,
    config: CompressionConfig,
    plan: PlanFile | None = None,
    recovery: RecoveryConfig | None = None,
    overwrite: bool = False,
    progress: ProgressBar,
) -> dict[str, Any]:
    """Compress a recommender into the folder `out` and return what its `compression.json` says.

    One block of the model is in memory at a time, but for the gradients and the recovery. Under `accelerate launch`
    the processes share the calibration; only the first one writes, recovers and has something to return.

    Args:
        calibrated: the dense recommender and the sequences that calibrate.
        out: the compressed recommender.
        config: of the compression.
        plan: the ranks, written beside the model; None makes a plan as `config` says.
        recovery: a distillation afterwards, if any.
        overwrite: replace a folder that is there.
        progress: opens a bar.

    Raises:
        CompressionError: the model or the calibration data cannot be used, or the ratio cannot be met.
        LcrecError: the dataset or the recommender is damaged.
        ArtifactError: `out` is in the way.
    """
    if recovery is not None:
        require_installed(recovery)
    model_folder, batches = calibrated.model_folder, calibrated.batches
    with joined_processes(), write_folder_once(out, overwrite=overwrite) as folder:
        progress = progress if is_first_process() else _no_progress
        if plan is None:
            plan = find_plan(calibrated, config, PlanRequest(), progress, work=out)
        importance = calibrated.importance(progress) if config.weigh_outputs else None
        with progress("compressing") as bar:
            report = compress_checkpoint(
                model_folder,
                folder,
                batches,
                config,
                plan=plan.plan(),
                importance=importance,
                work_folder=partial_folder(out) / "blocks",
                progress=bar,
            )
        recovered = None
        if recovery is not None and from_first_process(bool(report.linears)):
            student = load_model(from_first_process(folder))
            recovered = _distil(student, model_folder, calibrated.dataset, calibrated.prompt, recovery, progress)
            if is_first_process():
                save_model(student, folder)
        if not is_first_process():
            return {}
        record = msgspec.to_builtins(report) | {
            "calibration": msgspec.to_builtins(calibrated.chosen.report),
            "recovery": msgspec.to_builtins(recovered),
            "sources": {"model": sha256_folder(model_folder), "dataset": sha256_folder(calibrated.dataset_folder)},
            "seed": calibrated.seed,
        }
        _carry_over(model_folder, folder, record)
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
    check_codes(dense, dataset, dataset_folder)
    report = read_json(compressed / REPORT) if (compressed / REPORT).is_file() else {}
    student = load_model(compressed)
    with joined_processes(), write_folder_once(out, overwrite=overwrite) as folder:
        progress = progress if is_first_process() else _no_progress
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
    **changes: Any,
) -> RecoveryConfig:
    """Return the measured best options of a recommender's recovery within a budget, some of them changed.

    Raises:
        ConfigError: not one budget, or an option is out of range.
    """
    # Validated at the start and the end only: in between it costs steps, and picks by noise.
    return RecoveryConfig(seconds=seconds, max_steps=max_steps, method=method, seed=seed, validations=1, **changes)


def _no_progress(_: str) -> AbstractContextManager[Progress]:
    """Open no bar: the first process has one for all."""
    return nullcontext(silent)


def _distil(
    student: Any, dense: Path, dataset: Dataset, prompt: Prompt, config: RecoveryConfig, progress: ProgressBar
) -> RecoveryReport:
    """Distil on the training sequences, unless the factors were better before, by validation NDCG@10."""
    with progress("recovering") as bar:
        return recover(
            student,
            load_model(dense),
            _recovery_batches(dataset, prompt, config.seed),
            config,
            code_token_ids=code_token_ids(prompt),
            allowed=legal_choices(dataset_catalog(dataset), prompt),
            validate=validation_ndcg(dataset, prompt),
            surprise=validation_surprise(dataset, prompt),
            progress=bar,
        )


def _recovery_batches(dataset: Dataset, prompt: Prompt, seed: int) -> list[CalibrationBatch]:
    rounds = min(math.ceil(RECOVERY_SEQUENCES / max(len(dataset.sequences), 1)), RECOVERY_ROUNDS)
    return [
        batch
        for number in range(rounds)
        for batch in sequence_batches(
            dataset, prompt, RECOVERY_BATCH, seed * rounds + number, left_out=RECOVERY_LEFT_OUT
        )
    ]


def _carry_over(source: Path, folder: Path, record: dict[str, Any]) -> None:
    for name in CARRIED_OVER:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    write_json(folder / REPORT, record)
