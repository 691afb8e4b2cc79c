"""`odllm recover`: distil the factors of a compressed recommender from the dense one it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Overwrite, Seed, Threads


def recover(
    model: Annotated[Path, typer.Argument(help="Compressed model folder, as `odllm compress` writes it.")],
    dense: Annotated[Path, typer.Option(help="Folder of the dense model it came from: the teacher.")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder; the training parts of its users are learned from.")],
    out: Annotated[Path, typer.Option(help="Folder of the recovered model.")],
    seconds: Annotated[float | None, typer.Option(help="Budget of time.  [default: 60]")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget of steps instead: the same bits every time.")] = None,
    method: Annotated[
        str, typer.Option(help="factors: all factors learn; lora: adapters, merged at the end.")
    ] = "factors",
    lora_rank: Annotated[int, typer.Option(help="Rank of the adapters.")] = 16,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="At its highest; without it the best of short trials on validation items."),
    ] = None,
    label_weight: Annotated[
        float | None, typer.Option(help="Share of what users did next, 0 to 1; without it tried likewise.")
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a compressed recommender for a moment, towards the dense model and what users did next.

    Ranks and files stay as they are. If validation NDCG@10 says that the model was better before, it is kept so.
    Several processes share the work under `accelerate launch` and `torchrun`: `… -m odllm recover …`.
    """
    from odllm.compressing import recover_folder, recovery_options
    from odllm.compression_report import recovery_line
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    if steps is None and seconds is None:
        seconds = 60.0
    config = recovery_options(
        seconds,
        method,  # type: ignore[arg-type]
        seed,
        max_steps=steps,
        lora_rank=lora_rank,
        learning_rate=learning_rate,
        label_weight=label_weight,
    )
    record = recover_folder(model, dense, dataset, out, config=config, overwrite=overwrite, progress=progress_bar)
    if not record:  # one of several processes, and not the one that writes
        return
    if json:
        print_json(record["recovery"])
    else:
        say(recovery_line(record["recovery"]))
        say(f"model written to {out}")
