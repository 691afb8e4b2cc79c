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
    precision: Annotated[
        str,
        typer.Option(help="fp32, fp16, int8-dynamic, int8-block32/64/128, int4-block32/64/128, or auto."),
    ] = "fp32",
    device_profile: Annotated[
        str | None,
        typer.Option(help="Decides `--precision auto`: arm-dotprod, arm-base, x86-vnni, x86-avx512 or x86-avx2."),
    ] = None,
    prefix_cache: Annotated[
        bool, typer.Option(help="Store the keys and values of the prompt's fixed prefix in the graph.")
    ] = True,
    golden: Annotated[int, typer.Option(min=1, help="Histories with expected lists, for self-tests.")] = 8,
    golden_by: Annotated[
        str,
        typer.Option(
            help="Who computes them: model (in torch, a block at a time if it is large), graph (the bundle itself), "
            "none, or auto: the model for fp32, else the graph unless it takes more than 2 GiB."
        ),
    ] = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a bundle: item history in, top-k items out, one call."""
    import msgspec

    from lcrec.dataset import load_dataset
    from odllm.torch_setup import set_up_torch
    from odllm_export.bundle import GOLDEN, bundle_bytes
    from odllm_export.export import ExportOptions, export_bundle
    from odllm_export.precision import choose_precision

    set_up_torch(threads)
    chosen, reason = choose_precision(precision, device_profile)
    if precision == "auto":
        say(f"precision {chosen.name}: {device_profile} {reason}")
    options = ExportOptions(
        num_beams=beams,
        top_k=top_k,
        scoring=scoring,  # type: ignore[arg-type]
        precision=chosen.name,
        prefix_cache=prefix_cache,
        golden=golden,
        golden_by=golden_by,  # type: ignore[arg-type]
    )
    with progress_bar("exporting") as progress:
        manifest = export_bundle(model, load_dataset(dataset), out, options, overwrite=overwrite, progress=progress)
    if golden_by == "auto" and GOLDEN not in manifest.files:
        say(
            "no golden lists: to open this bundle takes more than 2 GiB, or more than the free memory; "
            "--golden-by graph has them computed all the same"
        )
    if json:
        print_json(msgspec.to_builtins(manifest))
    else:
        size = bundle_bytes(out, manifest) / 2**20
        say(
            f"{out}: {size:.1f} MiB, {chosen.name}, {manifest.items:,} items. "
            f"Check it: odllm verify {out} --model {model}"
        )
