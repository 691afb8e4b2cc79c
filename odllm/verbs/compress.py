"""`odllm compress`: a dense recommender becomes a low-rank one of half the size."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odllm.console import print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from compression.calibration import CalibrationBatch
    from compression.recovery import RecoveryReport

CARRIED_OVER = ("recommender.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""What makes a language model's folder a recommender: the same for the compressed one."""

BATCH_SEQUENCES = 32


def compress(
    model: Annotated[Path, typer.Argument(help="Model folder, as `odllm train` writes it.")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder with item codes; its training users calibrate.")],
    out: Annotated[Path, typer.Option(help="Folder of the compressed model.")],
    keep_ratio: Annotated[float, typer.Option(help="Kept fraction of the factored matrices; 0.5 halves them.")] = 0.5,
    sequences: Annotated[int, typer.Option(help="Calibration sequences.", min=1)] = 1024,
    recover: Annotated[float, typer.Option(help="Seconds of distillation afterwards; 0 for none.", min=0)] = 0.0,
    preset: Annotated[str, typer.Option(help="Recipe: default, whitened or plain-svd.")] = "default",
    seed: Annotated[int, typer.Option(help="Of the choice of sequences, and of the recovery.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to torch.", min=0)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it is there.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compress a recommender to a fraction of its size.

    The training-free result comes first; --recover SECONDS distils the factors from the dense model afterwards
    and is reported apart. A run that is stopped goes on at the block it had reached.
    """
    from compression.config import preset as named_preset
    from odllm_artifact import resolve_output

    config = named_preset(preset, keep_ratio=keep_ratio)  # refuses a bad ratio before anything is read
    resolve_output(out, overwrite=overwrite)
    report = run(
        model,
        dataset,
        out,
        config=config,
        sequences=sequences,
        recover_seconds=recover,
        seed=seed,
        threads=threads,
        overwrite=overwrite,
    )
    if json_output:
        print_json(report)
    else:
        _print_report(report)
        say(f"model written to {out}")


def run(
    model_folder: Path,
    dataset_folder: Path,
    out: Path,
    *,
    config: Any,
    sequences: int = 1024,
    recover_seconds: float = 0.0,
    seed: int = 0,
    threads: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compress the model of a folder into the folder `out` and return what `compression.json` says.

    Raises:
        CompressionError: the model or the calibration data cannot be used, or the ratio cannot be met.
        LcrecError: the dataset or the recommender is damaged.
        ArtifactError: `out` is in the way.
    """
    import msgspec
    import torch

    from compression.checkpoint import load_model, save_model
    from compression.pipeline import compress as compress_model
    from odllm_artifact import partial_folder, sha256_folder, write_folder, write_json

    if threads:
        torch.set_num_threads(threads)
    student = load_model(model_folder)
    batches = _calibration_batches(model_folder, dataset_folder, sequences, seed)
    with write_folder(out, overwrite=overwrite) as folder:
        with progress_bar("compressing") as progress:
            report = compress_model(
                student, batches, config, work_folder=partial_folder(out) / "blocks", progress=progress
            )
        recovery = None
        if recover_seconds > 0 and report.linears:
            recovery = _recover(student, model_folder, dataset_folder, recover_seconds, seed)
        save_model(student, folder)
        for name in CARRIED_OVER:
            if (model_folder / name).is_file():
                shutil.copyfile(model_folder / name, folder / name)
        record = {
            **msgspec.to_builtins(report),
            "recovery": msgspec.to_builtins(recovery),
            "sources": {"model": sha256_folder(model_folder), "dataset": sha256_folder(dataset_folder)},
            "seed": seed,
        }
        write_json(folder / "compression.json", record)
    return record


def _recover(student: Any, model_folder: Path, dataset_folder: Path, seconds: float, seed: int) -> RecoveryReport:
    """Distil on the training sequences; the dense model is read again, the student took the first one's place."""
    from compression.checkpoint import load_model
    from compression.recovery import RecoveryConfig, recover
    from lcrec.model import code_token_ids
    from lcrec.prompt import read_card

    batches = _calibration_batches(model_folder, dataset_folder, None, seed)
    with progress_bar("recovering") as progress:
        return recover(
            student,
            load_model(model_folder),
            batches,
            RecoveryConfig(seconds=seconds, seed=seed),
            code_token_ids=code_token_ids(read_card(model_folder).prompt),
            progress=progress,
        )


def _calibration_batches(
    model_folder: Path, dataset_folder: Path, sequences: int | None, seed: int
) -> list[CalibrationBatch]:
    """Return token batches of training users' histories; None takes all of them."""
    import torch

    from compression.calibration import CalibrationBatch
    from lcrec.dataset import load_dataset
    from lcrec.prompt import read_card
    from lcrec.windows import training_batches

    prompt = read_card(model_folder).prompt
    batches = training_batches(load_dataset(dataset_folder), prompt, BATCH_SEQUENCES, seed=seed, max_windows=sequences)
    return [CalibrationBatch(torch.from_numpy(b.ids), torch.from_numpy(b.real).long()) for b in batches]


def _print_report(record: dict[str, Any]) -> None:
    linears = record["linears"]
    print_table(
        f"Kept {record['keep_ratio']:.3f} of the factored matrices, {record['model_size_ratio']:.3f} of the model "
        f"({record['parameters_before']:,} → {record['parameters_after']:,} parameters) "
        f"in {record['seconds']:.0f} s over {record['tokens']:,} calibration tokens",
        ["projection", "shape", "rank", "loss before", "loss after", "condition", "effective rank"],
        [_cells(linear) for linear in linears],
    )
    for event in record["events"] or ():
        say(f"note: {event}")
    for linear in linears:
        for event in linear["events"]:
            say(f"note: {linear['name']}: {event}")
    recovery = record["recovery"]
    if recovery:
        say(
            f"recovery: {recovery['steps']} steps in {recovery['seconds']:.0f} s, "
            f"KL {recovery['kl_first']:.4f} → {recovery['kl_last']:.4f}"
        )


def _cells(linear: dict[str, Any]) -> list[str]:
    rows, columns = linear["shape"]
    return [
        linear["name"].removeprefix("model.layers."),
        f"{rows}×{columns}",
        str(linear["rank"]),
        f"{linear['loss_before']:.4f}",
        f"{linear['loss_after']:.4f}",
        f"{linear['condition']:.1e}",
        f"{linear['effective_rank']:.0f}",
    ]
