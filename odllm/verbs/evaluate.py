"""`odllm evaluate`: quality of a model folder or a bundle, baselines beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, print_table, progress_bar, say
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
    users: Annotated[int | None, typer.Option(min=1, help="Evaluate only so many users, drawn by seed 0.")] = None,
    seen: Annotated[
        bool, typer.Option(help="Whether lists may hold items of the history; what is left counts in its place.")
    ] = True,
    baselines: Annotated[bool, typer.Option(help="Print popularity and last-item baselines too.")] = True,
    save: Annotated[bool, typer.Option("--save", help="Write evaluation.json into the model folder.")] = False,
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Measure HR and NDCG at 1, 5 and 10 over the full catalogue, leave-one-out."""
    from lcrec.dataset import load_dataset
    from odllm.evaluation import evaluate_target
    from odllm.torch_setup import set_up_torch
    from odllm_artifact import write_json

    set_up_torch(threads)
    with progress_bar("evaluating") as progress:
        rows = evaluate_target(
            target,
            load_dataset(dataset),
            split=split,
            constraint=constraint,
            scoring=scoring,
            num_beams=beams,
            users=users,
            seen=seen,
            baselines=baselines,
            progress=progress,
        )
    if save:
        write_json(target / "evaluation.json", rows[target.name])
    if json:
        print_json(rows)
        return
    names = ("hit_rate@1", "hit_rate@5", "hit_rate@10", "ndcg@5", "ndcg@10", "illegal_rate")
    facts = rows[target.name]
    print_table(
        f"{split} split, {facts['users']} users, {facts['constraint']}, {facts['scoring']}, {facts['num_beams']} beams"
        + ("" if seen else ", without what was seen"),
        ["", "HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10", "illegal"],
        [[name, *(f"{row[key]:.4f}" for key in names)] for name, row in rows.items()],
    )
    for name, row in rows.items():
        low, high = row["ndcg@10_interval"]
        say(f"{name}: NDCG@10 between {low:.4f} and {high:.4f} (95 % over users)")
