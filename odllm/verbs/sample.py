"""`odllm data sample`: a dataset of fewer users."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, say
from odllm.options import Json, Overwrite, Seed
from odllm_artifact import ArtifactError, resolve_output


def sample(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset folder.")],
    users: Annotated[int, typer.Option(min=1, help="How many users to draw.")],
    out: Annotated[Path, typer.Option(help="Dataset folder to write.")],
    name: Annotated[str | None, typer.Option(help="What reports call it. Default: the dataset's name and N.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Draw some users at random; items, codes and quantizer stay, so that models of either dataset speak the same."""
    from lcrec.dataset import load_dataset
    from lcrec.sampling import sample_users, save_sample

    if out.absolute() == dataset.absolute():
        raise ArtifactError("--out is the dataset itself; choose another folder")
    resolve_output(out, overwrite=overwrite)
    data = load_dataset(dataset)
    drawn = dataclasses.replace(sample_users(data, users, seed), name=name or f"{data.name}-{users}")
    save_sample(drawn, dataset, out, overwrite=overwrite)
    if json:
        print_json({"out": str(out), **drawn.statistics()})
    else:
        say(f"{out}: {users:,} of {len(data.users):,} users, {drawn.interactions:,} interactions, all items")
