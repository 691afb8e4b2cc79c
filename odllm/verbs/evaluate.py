"""`odllm evaluate`: quality of a model folder or a bundle, baselines beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Scoring, Threads


def evaluate(
    target: Annotated[Path, typer.Argument(help="Model folder or bundle.")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder with item codes.")],
    split: Annotated[str, typer.Option(help="test (the last item of each user) or validation (the one before).")] = (
        "test"
    ),
    constraint: Annotated[str, typer.Option(help="trie: existing items only; levels: any code of the level.")] = (
        "trie"
    ),
    scoring: Scoring = "codes",
    beams: Annotated[int, typer.Option(min=1, help="Beams of the search (models; a bundle has its own).")] = 20,
    template: Annotated[
        str,
        typer.Option(help="Prompt of a model: deployed, the number of one it was trained with, or all (mean, spread)."),
    ] = "deployed",
    illegal: Annotated[
        str, typer.Option(help="Answers that are no item (levels): kept in their place, or last, behind all others.")
    ] = "kept",
    users: Annotated[int | None, typer.Option(min=1, help="Evaluate only so many users, drawn by seed 0.")] = None,
    seen: Annotated[
        bool, typer.Option(help="Whether lists may hold items of the history; what is left counts in its place.")
    ] = True,
    baselines: Annotated[bool, typer.Option(help="Print popularity and last-item baselines too.")] = True,
    any_codes: Annotated[
        bool, typer.Option("--any-codes", help="Evaluate although the dataset's codes are not the model's.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write what --json prints to this file.")] = None,
    ranks: Annotated[
        Path | None, typer.Option(help="Write every user's rank to this file, JSON lines, to compare user by user.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Write evaluation.json into the model folder.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Users searched at once.")] = 64,
    device: Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu, cuda, cuda:1, …")] = "auto",
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Measure HR and NDCG at 1, 5 and 10 over the full catalogue, leave-one-out.

    Several processes share the users under `accelerate launch` and `torchrun`: `… -m odllm evaluate …`.
    """
    from compression.processes import is_first_process, joined_processes
    from lcrec.dataset import load_dataset
    from odllm.evaluation import evaluate_target
    from odllm.evaluation_output import print_evaluation, write_ranks
    from odllm.evaluation_targets import EvaluationProtocol
    from odllm.torch_setup import set_up_torch
    from odllm_artifact import resolve_output_file, silent, write_json

    set_up_torch(threads)
    for file in filter(None, (out, ranks)):
        resolve_output_file(file)
    protocol = EvaluationProtocol(
        split=split,
        constraint=constraint,  # type: ignore[arg-type]
        scoring=scoring,  # type: ignore[arg-type]
        num_beams=beams,
        users=users,
        seen=seen,
        illegal=illegal,  # type: ignore[arg-type]
        template=template,
        batch_users=batch,
        device=device,
        threads=threads,
    )
    with joined_processes(), progress_bar("evaluating") as progress:
        found = evaluate_target(
            target,
            load_dataset(dataset),
            protocol,
            baselines=baselines,
            folder=dataset,
            any_codes=any_codes,
            progress=progress if is_first_process() else silent,
        )
        first = is_first_process()
    if not first:
        return
    if found.note:
        say(f"note: {found.note}")
    for path, write in (
        (out, found.rows),
        (target / "evaluation.json" if save else None, next(iter(found.rows.values()))),
    ):
        if path is not None:
            write_json(path, write)
    if ranks is not None:
        write_ranks(found, ranks)
    if json:
        print_json(found.rows)
    else:
        print_evaluation(found)
