"""`odllm codes`: give every item of a dataset its codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.verbs.data import print_code_statistics
from odllm_artifact import ArtifactError


def codes(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset folder; codes.json is written into it.")],
    levels: Annotated[int, typer.Option(min=2, max=6, help="Codes an item, 2 to 6.")] = 4,
    width: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=65_536,
            help="Codes a level at most. Default: the next power of two from the square root of the number of "
            "items, at most 256.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the clustering; the same seed, the same codes.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the codes that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the statistics as JSON.")] = False,
) -> None:
    """Cluster the items by what they are about and with what they are used, level by level."""
    from lcrec.dataset import load_dataset, save_codes

    if (dataset / "codes.json").exists() and not overwrite:
        raise ArtifactError(f"{dataset} has item codes already. Say --overwrite to replace them.")
    data = load_dataset(dataset, with_codes=False)
    with progress_bar("item codes") as progress:
        from lcrec.item_codes import build_item_codes

        result = build_item_codes(data, levels=levels, width=width, seed=seed, progress=progress)
    save_codes(dataset, result.codes, data.item_ids, result.method, result.statistics)
    if as_json:
        print_json({"method": result.method, "statistics": result.statistics})
        return
    print_code_statistics(result.statistics)
    before, changed, moved = (result.statistics[key] for key in ("collisions_before", "last_code_changed", "moved"))
    say(f"collisions before: {before:,}; items given another last code: {changed:,}, another path: {moved:,}")
    say(f"wrote {dataset / 'codes.json'}")
