"""Compression and recovery of recommender folders: the algebra of `compression`, the sequences of `lcrec`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import torch
from accelerate import PartialState

from compression.calibration import CalibrationBatch
from compression.checkpoint import load_model, save_model
from compression.config import CompressionConfig
from compression.pipeline import compress
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig, RecoveryMethod, RecoveryReport
from compression.trainable import require_installed
from lcrec.calibration import Choice, choose_calibration
from lcrec.dataset import Dataset, load_dataset
from lcrec.evaluate import dataset_catalog, evaluate, model_ranker
from lcrec.model import code_token_ids
from lcrec.prompt import Prompt, read_card
from lcrec.windows import TokenBatch, training_batches
from odllm_artifact import (
    Progress,
    partial_folder,
    read_json,
    resolve_output,
    sha256_folder,
    write_folder,
    write_json,
)

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
    sequences: int | None = None,
    tokens: int | None = None,
    calibration: Choice = "covering",
    recover_seconds: float = 0.0,
    recovery_method: RecoveryMethod = "factors",
    seed: int = 0,
    overwrite: bool = False,
    progress: ProgressBar,
) -> dict[str, Any]:
    """Compress the model of a folder into the folder `out` and return what its `compression.json` says.

    Args:
        model_folder: the dense recommender.
        dataset_folder: whose training users calibrate.
        out: the compressed recommender.
        config: of the compression.
        sequences: that calibrate.
        tokens: about so many instead.
        calibration: which sequences (`lcrec.calibration`).
        recover_seconds: of distillation afterwards; 0 for none.
        recovery_method: what learns in it.
        seed: of everything random.
        overwrite: replace a folder that is there.
        progress: opens a bar.

    Raises:
        CompressionError: the model or the calibration data cannot be used, or the ratio cannot be met.
        LcrecError: the dataset or the recommender is damaged, or not one calibration budget is given.
        ArtifactError: `out` is in the way.
    """
    recovery_config = recovery_options(recover_seconds, recovery_method, seed) if recover_seconds > 0 else None
    if recovery_config is not None:
        require_installed(recovery_config)
    dataset, prompt = load_dataset(dataset_folder), read_card(model_folder).prompt
    student = load_model(model_folder)
    chosen = choose_calibration(
        dataset,
        [prompt],
        batch_size=CALIBRATION_BATCH,
        sequences=sequences,
        tokens=tokens,
        choice=calibration,
        seed=seed,
    )
    batches = _calibration_batches(chosen.batches)
    with write_folder(out, overwrite=overwrite) as folder:
        with progress("compressing") as bar:
            report = compress(student, batches, config, work_folder=partial_folder(out) / "blocks", progress=bar)
        recovery = None
        if recovery_config is not None and report.linears:
            with progress("recovering") as bar:
                recovery = _distil(student, model_folder, dataset, prompt, recovery_config, bar)
        record = msgspec.to_builtins(report) | {
            "calibration": msgspec.to_builtins(chosen.report),
            "recovery": msgspec.to_builtins(recovery),
            "sources": {"model": sha256_folder(model_folder), "dataset": sha256_folder(dataset_folder)},
            "seed": seed,
        }
        _save(student, model_folder, folder, record)
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

    Under `accelerate launch` every process calls this; the first one writes.

    Returns:
        What the new `compression.json` says.

    Raises:
        CompressionError: `compressed` has no factors, or a folder is damaged.
        LcrecError: the dataset or the recommender is damaged.
        ArtifactError: `out` is in the way.
    """
    resolve_output(out, overwrite=overwrite)
    dataset, prompt = load_dataset(dataset_folder), read_card(dense).prompt
    report = read_json(compressed / REPORT) if (compressed / REPORT).is_file() else {}
    student = load_model(compressed)
    with progress("recovering") as bar:
        recovery = _distil(student, dense, dataset, prompt, config, bar)
    record: dict[str, Any] = report | {"recovery": msgspec.to_builtins(recovery)}
    if PartialState().is_main_process:
        with write_folder(out, overwrite=overwrite) as folder:
            _save(student, compressed, folder, record)
    return record


def recovery_options(
    seconds: float | None,
    method: RecoveryMethod = "factors",
    seed: int = 0,
    *,
    max_steps: int | None = None,
    lora_rank: int | None = None,
) -> RecoveryConfig:
    """Return the measured best options of a recommender's recovery within a budget.

    Raises:
        ConfigError: not one budget, or an option is out of range.
    """
    # Validated at the start and the end only: in between it costs steps, and picks by noise.
    config = RecoveryConfig(seconds=seconds, max_steps=max_steps, method=method, seed=seed, validations=1)
    return config if lora_rank is None else msgspec.structs.replace(config, lora_rank=lora_rank)


def sequence_batches(
    dataset: Dataset, prompt: Prompt, size: int, seed: int, sequences: int | None = None
) -> list[CalibrationBatch]:
    """Return batches of `size` training sequences; at most `sequences` of them, all if not given."""
    return _calibration_batches(training_batches(dataset, prompt, size, seed=seed, max_windows=sequences))


def _calibration_batches(batches: Sequence[TokenBatch]) -> list[CalibrationBatch]:
    return [CalibrationBatch(torch.from_numpy(b.ids), torch.from_numpy(b.real).long()) for b in batches]


def _distil(
    student: Any, dense: Path, dataset: Dataset, prompt: Prompt, config: RecoveryConfig, bar: Progress
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
        sequence_batches(dataset, prompt, RECOVERY_BATCH, config.seed),
        config,
        code_token_ids=code_token_ids(prompt),
        validate=validate,
        progress=bar,
    )


def _save(model: Any, source: Path, folder: Path, record: dict[str, Any]) -> None:
    save_model(model, folder)
    for name in CARRIED_OVER:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    write_json(folder / REPORT, record)
