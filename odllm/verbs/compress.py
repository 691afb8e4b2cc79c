"""`odllm compress`: a dense recommender becomes a low-rank one of half the size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from odllm.console import print_json, print_table, progress_bar, say
from odllm.options import Json, Overwrite, Seed, Threads


def compress(
    model: Annotated[Path, typer.Argument(help="Model folder, as `odllm train` writes it.")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder with item codes; its training users calibrate.")],
    out: Annotated[Path, typer.Option(help="Folder of the compressed model.")],
    keep_ratio: Annotated[float, typer.Option(help="Kept fraction of the factored matrices; 0.5 halves them.")] = 0.5,
    sequences: Annotated[int, typer.Option(help="Calibration sequences.", min=1)] = 1024,
    recover: Annotated[float, typer.Option(help="Seconds of distillation afterwards; 0 for none.", min=0)] = 0.0,
    preset: Annotated[
        str, typer.Option(help="Recipe: default, paper, svd-llm, …: docs/compression.md lists them.")
    ] = "default",
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Compress a recommender to a fraction of its size.

    The training-free result comes first; --recover SECONDS distils the factors from the dense model afterwards
    and is reported apart. A run that is stopped goes on at the block it had reached.
    """
    from compression.config import preset as named_preset
    from odllm.compressing import compress_folder
    from odllm.torch_setup import set_up_torch
    from odllm_artifact import resolve_output

    set_up_torch(threads)
    config = named_preset(preset, keep_ratio=keep_ratio)  # refuses a bad ratio before anything is read
    resolve_output(out, overwrite=overwrite)
    report = compress_folder(
        model,
        dataset,
        out,
        config=config,
        sequences=sequences,
        recover_seconds=recover,
        seed=seed,
        overwrite=overwrite,
        progress=progress_bar,
    )
    if json:
        print_json(report)
    else:
        _print_report(report)
        say(f"model written to {out}")


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
        linear["name"].removeprefix("model.layers.").replace(".self_attn.", " ").replace(".mlp.", " "),
        f"{rows}×{columns}",
        str(linear["rank"]),
        f"{linear['loss_before']:.4f}",
        f"{linear['loss_after']:.4f}",
        f"{linear['condition']:.1e}",
        f"{linear['effective_rank']:.0f}",
    ]
