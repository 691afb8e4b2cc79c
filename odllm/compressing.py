"""Compression and recovery of recommender folders: the algebra of `compression`, the sequences of `lcrec`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import torch

from compression.calibration import CalibrationBatch
from compression.checkpoint import load_model, save_model
from compression.config import CompressionConfig
from compression.plan_file import PLAN_FILE, PlanFile, write_plan
from compression.processes import is_first_process, joined_processes, write_folder_once
from compression.recovery import RecoveryConfig, RecoveryReport, recover
from compression.streaming import compress_checkpoint
from lcrec.dataset import Dataset, load_dataset
from lcrec.evaluate import dataset_catalog, evaluate, model_ranker
from lcrec.model import code_token_ids
from lcrec.prompt import Prompt, read_card
from lcrec.windows import training_batches
from odllm_artifact import Progress, partial_folder, read_json, sha256_folder, write_folder, write_json

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
    plan: PlanFile | None = None,
    sequences: int,
    recover_seconds: float = 0.0,
    seed: int = 0,
    overwrite: bool = False,
    progress: ProgressBar,
) -> dict[str, Any]:
    """Compress the model of a folder into the folder `out` and return what its `compression.json` says.

    `plan` decides the ranks instead of `config`, and is written beside the model. One block of the model is in memory
    at a time. Under `accelerate launch` the processes share the calibration; only the first one writes, recovers and
    has something to return.

    Raises:
        CompressionError: the model or the calibration data cannot be used, or the ratio cannot be met.
        LcrecError: the dataset or the recommender is damaged.
        ArtifactError: `out` is in the way.
    """
    dataset, prompt = load_dataset(dataset_folder), read_card(model_folder).prompt
    batches = sequence_batches(dataset, prompt, CALIBRATION_BATCH, seed, sequences)
    with joined_processes(), write_folder_once(out, overwrite=overwrite) as folder:
        work, ranks = partial_folder(out) / "blocks", None if plan is None else plan.plan()
        if not is_first_process():
            compress_checkpoint(model_folder, folder, batches, config, plan=ranks, work_folder=work)
            return {}
        with progress("compressing") as bar:
            report = compress_checkpoint(
                model_folder, folder, batches, config, plan=ranks, work_folder=work, progress=bar
            )
        recovery = None
        if recover_seconds > 0 and report.linears:
            student = load_model(folder)
            with progress("recovering") as bar:
                recovery = _distil(student, model_folder, dataset, prompt, recover_seconds, seed, bar)
            save_model(student, folder)
        record = msgspec.to_builtins(report) | {
            "recovery": msgspec.to_builtins(recovery),
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
    seconds: float,
    seed: int = 0,
    overwrite: bool = False,
    progress: ProgressBar,
) -> dict[str, Any]:
    """Distil the factors of a compressed model from the dense one into the folder `out`.

    Raises:
        CompressionError: `compressed` has no factors, or a folder is damaged.
        LcrecError: the dataset or the recommender is damaged.
        ArtifactError: `out` is in the way.
    """
    dataset, prompt = load_dataset(dataset_folder), read_card(dense).prompt
    student = load_model(compressed)
    with write_folder(out, overwrite=overwrite) as folder:
        with progress("recovering") as bar:
            recovery = _distil(student, dense, dataset, prompt, seconds, seed, bar)
        record = read_json(compressed / REPORT) | {"recovery": msgspec.to_builtins(recovery)}
        save_model(student, folder)
        _carry_over(compressed, folder, record)
    return record


def sequence_batches(
    dataset: Dataset, prompt: Prompt, size: int, seed: int, sequences: int | None = None
) -> list[CalibrationBatch]:
    """Return batches of `size` training sequences; at most `sequences` of them, all if not given."""
    batches = training_batches(dataset, prompt, size, seed=seed, max_windows=sequences)
    return [CalibrationBatch(torch.from_numpy(b.ids), torch.from_numpy(b.real).long()) for b in batches]


def _distil(
    student: Any, dense: Path, dataset: Dataset, prompt: Prompt, seconds: float, seed: int, bar: Progress
) -> RecoveryReport:
    """Distil on the training sequences, unless the factors were better before, by validation NDCG@10."""
    split, catalog, codes = dataset.split(), dataset_catalog(dataset), dataset.require_codes().codes

    def validate(model: Any) -> float:
        ranker = model_ranker(model, prompt, catalog, num_beams=10)
        users = slice(VALIDATION_USERS)
        found = evaluate(ranker, split.validation_history[users], split.validation_target[users], codes)
        return float(found.summary()["ndcg@10"])  # type: ignore[arg-type]

    return recover(
        student,
        load_model(dense),
        sequence_batches(dataset, prompt, RECOVERY_BATCH, seed),
        # Validated at the start and the end only: in between it costs steps, and picks by noise.
        RecoveryConfig(seconds=seconds, seed=seed, validations=1),
        code_token_ids=code_token_ids(prompt),
        validate=validate,
        progress=bar,
    )


def _carry_over(source: Path, folder: Path, record: dict[str, Any]) -> None:
    for name in CARRIED_OVER:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    write_json(folder / REPORT, record)
