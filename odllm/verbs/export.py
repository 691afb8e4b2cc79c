"""`odllm export`: a model and a dataset's catalogue to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Overwrite, Scoring, Threads


def export(
    model: Annotated[Path, typer.Argument(help="Model folder (`odllm train` or `odllm compress`).")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder whose items the bundle serves.")],
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")],
    scoring: Scoring = "codes",
    beams: Annotated[int, typer.Option(min=1, help="Beams kept a level.")] = 20,
    top_k: Annotated[int, typer.Option(min=1, help="Items returned unless a call asks otherwise.")] = 10,
    golden: Annotated[int, typer.Option(min=1, help="Histories with expected lists, for self-tests.")] = 8,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a bundle: item history in, top-k items out, one call."""
    import msgspec

    from lcrec.dataset import load_dataset
    from odllm.torch_setup import set_up_torch
    from odllm_export.bundle import bundle_bytes
    from odllm_export.export import export_bundle

    set_up_torch(threads)
    with progress_bar("exporting") as progress:
        manifest = export_bundle(
            model,
            load_dataset(dataset),
            out,
            num_beams=beams,
            top_k=top_k,
            scoring=scoring,  # type: ignore[arg-type]
            golden=golden,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json(msgspec.to_builtins(manifest))
    else:
        size = bundle_bytes(out, manifest) / 2**20
        say(f"{out}: {size:.1f} MiB, {manifest.items:,} items. Check it: odllm verify {out} --model {model}")
