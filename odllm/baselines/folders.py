"""Baselines as folders: what `odllm baseline` writes, each a model that `odllm evaluate` reads like any other.

`baseline.json` says how it was made, and the bytes of the seven projections in the form in which it is stored.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from compression.checkpoint import load_model, save_model
from compression.lowrank import factored_linears, projection_names
from lcrec.calibration import CalibrationRequest
from lcrec.dataset import load_dataset
from lcrec.evaluate import evaluate, without_seen
from lcrec.sasrec import SasRecRecipe, sasrec_ranker, save_sasrec, train_sasrec
from lcrec.train import dataset_facts
from odllm.baselines.errors import BaselineError
from odllm.calibrating import Calibrated
from odllm.compressing import CARRIED_OVER
from odllm.rounding import bytes_of, find_rounding, round_model, sparse_bytes
from odllm_artifact import Progress, read_json, resolve_output, sha256_folder, silent, write_folder, write_json

RECORD = "baseline.json"
ENVIRONMENT = Path(".venv-baselines") / "bin" / "python"
"""What `make baselines` makes, seen from the repository."""

_SHOWN_LINES = 15


def sasrec_folder(
    dataset_folder: Path,
    out: Path,
    recipe: SasRecRecipe,
    *,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a SASRec into the folder `out` and return its record, quality on the test split included.

    Raises:
        LcrecError: the dataset is damaged, has no codes, or has nothing to train on.
        ArtifactError: `out` is in the way.
    """
    resolve_output(out, overwrite=overwrite)
    dataset = load_dataset(dataset_folder)
    codes = dataset.require_codes().codes
    facts = dataset_facts(dataset, dataset_folder)
    model, card = train_sasrec(dataset, recipe, facts=facts, seed=seed, progress=progress)
    split = dataset.split()
    ranker = sasrec_ranker(model, dataset)
    found, unseen = (
        evaluate(one, split.test_history, split.test_target, codes) for one in (ranker, without_seen(ranker, codes))
    )
    record = {
        "method": "SASRec",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": len(card.validation_ndcg_10),
        "seconds": card.seconds,
        "test": found.summary(),
        "test_without_seen": unseen.summary(),
        "sources": {"dataset": sha256_folder(dataset_folder)},
    }
    with write_folder(out, overwrite=overwrite) as folder:
        save_sasrec(model, card, folder)
        write_json(folder / RECORD, record)
    return record


def rounded_folder(
    model_folder: Path, out: Path, rounding: str, *, tables: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Write a model whose weights are rounded to nearest into the folder `out` and return its record.

    Raises:
        ExportError: there is no such rounding.
        CompressionError: the model is damaged.
        ArtifactError: `out` is in the way.
    """
    find_rounding(rounding)
    resolve_output(out, overwrite=overwrite)
    model = load_model(model_folder)
    record = {
        "method": "round to nearest",
        "options": {"rounding": rounding, "tables": tables},
        "bytes": bytes_of(model, rounding, tables=tables),
        "bytes_fp32": bytes_of(model, "fp32", tables=tables),
        "sources": {"model": sha256_folder(model_folder)},
    }
    round_model(model, rounding, tables=tables)
    with write_folder(out, overwrite=overwrite) as folder:
        save_model(model, folder)
        _finish(folder, model_folder, record)
    return record


def llm_compressor_folder(
    model_folder: Path,
    dataset_folder: Path,
    out: Path,
    method: str,
    *,
    group: int = 128,
    mask: str = "0:0",
    sequences: int = 1024,
    seed: int = 0,
    threads: int = 1,
    python: Path = ENVIRONMENT,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Have llm-compressor treat a dense model, calibrated on training sequences; return the record.

    Args:
        model_folder: a dense recommender.
        dataset_folder: whose training users calibrate.
        out: the folder to write.
        method: `gptq` or `sparsegpt`.
        group: inputs that share a scale (gptq).
        mask: `0:0` or `2:4` (sparsegpt).
        sequences: of the calibration.
        seed: of their choice: the same seed and number give what `odllm compress` calibrates with.
        threads: of the other process.
        python: of the environment that `make baselines` makes.
        overwrite: replace a folder that is there.

    Raises:
        BaselineError: there is no such environment, the model is factored or does not fit the group, or
            llm-compressor failed.
        CompressionError: the model is damaged.
        LcrecError: the dataset or the recommender is damaged.
        ArtifactError: `out` is in the way.
    """
    if not python.is_file():
        raise BaselineError(
            f"{python} is missing: llm-compressor needs an environment of its own. Make it with `make baselines`, "
            "or name its interpreter with --python."
        )
    resolve_output(out, overwrite=overwrite)
    _check_model(load_model(model_folder), model_folder, group if method == "gptq" else None)
    with tempfile.TemporaryDirectory(prefix="odllm-baseline-") as temporary:
        calibration, made = Path(temporary) / "sequences.safetensors", Path(temporary) / "model"
        calibrated = Calibrated(model_folder, dataset_folder, CalibrationRequest(sequences=sequences), seed)
        _write_sequences(calibrated, calibration)
        options = {"--group": group, "--mask": mask, "--threads": threads}
        _call(python, [model_folder, calibration, made, method], options)
        model = load_model(made)
        record = read_json(made / "llm_compressor.json") | {
            "calibration": msgspec.to_builtins(calibrated.chosen.report),
            "seed": seed,
            "bytes": bytes_of(model, f"int4-block{group}") if method == "gptq" else sparse_bytes(model),
            "bytes_fp32": bytes_of(model, "fp32"),
            "sources": {"model": sha256_folder(model_folder), "dataset": sha256_folder(dataset_folder)},
        }
    with write_folder(out, overwrite=overwrite) as folder:
        save_model(model, folder)
        _finish(folder, model_folder, record)
    return record


def _check_model(model: Any, folder: Path, group: int | None) -> None:
    if factored_linears(model):
        raise BaselineError(f"{folder} is a low-rank model; GPTQ and SparseGPT are run on the dense one")
    for name in projection_names(model) if group else ():
        inputs = model.get_submodule(name).in_features
        if group and inputs % group:
            raise BaselineError(
                f"{name} has {inputs} inputs, which groups of {group} do not divide. "
                "Take a smaller --group, such as 32."
            )


def _write_sequences(calibrated: Calibrated, path: Path) -> None:
    """Write the calibration sequences, padded on the right, where the other environment reads them."""
    batches = calibrated.batches
    longest = max(batch.input_ids.shape[1] for batch in batches)
    tensors = {
        name: torch.cat([F.pad(getattr(batch, name), (0, longest - batch.input_ids.shape[1])) for batch in batches])
        for name in ("input_ids", "attention_mask")
    }
    save_file(tensors, path)


def _call(python: Path, positional: list[Any], options: Mapping[str, Any]) -> None:
    """Run the program of the other environment to its end.

    Raises:
        BaselineError: it failed; the message ends with the last lines that it wrote.
    """
    arguments = [str(part) for part in positional]
    arguments += [str(part) for pair in options.items() for part in pair]
    command = [str(python.absolute()), "-m", "odllm.baselines.llm_compressor", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": str(options["--threads"]), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-_SHOWN_LINES:])
        raise BaselineError(f"llm-compressor ended with {done.returncode}. Its last lines:\n{last}")


def _finish(folder: Path, model_folder: Path, record: dict[str, Any]) -> None:
    for name in CARRIED_OVER:
        if (model_folder / name).is_file():
            shutil.copyfile(model_folder / name, folder / name)
    write_json(folder / RECORD, record)
