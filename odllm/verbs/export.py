"""`odllm export`: a model and a dataset's catalogue to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Overwrite, Scoring, Threads


def export(
    model: Annotated[Path, typer.Argument(help="Model folder (`odllm train` or `odllm compress`).")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset folder whose items the bundle serves; form decoder needs none.")
    ] = None,
    scoring: Scoring = "codes",
    beams: Annotated[int, typer.Option(min=1, help="Beams kept a level.")] = 20,
    top_k: Annotated[int, typer.Option(min=1, help="Items returned unless a call asks otherwise.")] = 10,
    form: Annotated[
        str,
        typer.Option(
            help="loop; unrolled: without Loop; steps: two decoder graphs of fixed shapes, the search outside of them; "
            "decoder: a plain causal language model, as Optimum reads it."
        ),
    ] = "loop",
    chunk: Annotated[int, typer.Option(min=1, help="Tokens of the prompt that form steps runs at once.")] = 32,
    precision: Annotated[
        str,
        typer.Option(
            help="fp32, fp16, int8-dynamic, int8-block32/64/128, int4-block32/64/128, or auto; "
            "steps has fp32, fp16, int8-qdq and int8-qdq16."
        ),
    ] = "fp32",
    device_profile: Annotated[
        str | None,
        typer.Option(help="Decides `--precision auto`: arm-dotprod, arm-base, x86-vnni, x86-avx512 or x86-avx2."),
    ] = None,
    prefix_cache: Annotated[
        bool, typer.Option(help="Store the keys and values of the prompt's fixed prefix in the graph.")
    ] = True,
    calibration: Annotated[
        int, typer.Option(min=1, help="Histories of the training part that set the ranges of int8-qdq and int8-qdq16.")
    ] = 64,
    simplify: Annotated[
        bool, typer.Option("--simplify", help="Run onnxsim on the graph; its lists must stay the same.")
    ] = False,
    ort_format: Annotated[
        bool, typer.Option("--ort-format", help="Also write recommend.ort, with its operators for a custom build.")
    ] = False,
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
    from lcrec.dataset_match import check_codes
    from odllm.torch_setup import set_up_torch
    from odllm_export.bundle import GOLDEN, bundle_bytes
    from odllm_export.errors import ExportError
    from odllm_export.export import ExportOptions, export_bundle
    from odllm_export.precision import choose_precision

    set_up_torch(threads)
    chosen, reason = choose_precision(precision, device_profile)
    if precision == "auto":
        say(f"precision {chosen.name}: {device_profile} {reason}")
    if form == "decoder":
        _export_decoder(model, out, chosen.name, overwrite, json)
        return
    if dataset is None:
        raise ExportError("a bundle serves a dataset's items: --dataset is missing (only --form decoder needs none)")
    options = ExportOptions(
        num_beams=beams,
        top_k=top_k,
        scoring=scoring,  # type: ignore[arg-type]
        form=form,  # type: ignore[arg-type]
        precision=chosen.name,
        prefix_cache=prefix_cache,
        golden=golden,
        chunk=chunk,
        calibration=calibration,
        simplify=simplify,
        ort_format=ort_format,
        golden_by=golden_by,  # type: ignore[arg-type]
    )
    data = load_dataset(dataset)
    added = check_codes(model, data, dataset)
    if added:
        say(f"{added:,} items of {dataset} were added after the training; the codes of the others are the same")
    with progress_bar("exporting") as progress:
        manifest = export_bundle(model, data, out, options, overwrite=overwrite, progress=progress)
    if golden_by == "auto" and GOLDEN not in manifest.files:
        say(
            "no golden lists: to open this bundle takes more than 2 GiB, or more than the free memory; "
            "--golden-by graph has them computed all the same"
        )
    if json:
        print_json(msgspec.to_builtins(manifest))
    else:
        if simplify:
            say(f"onnxsim {manifest.provenance['onnxsim']}; the same {golden} lists before and after")
        size = bundle_bytes(out, manifest) / 2**20
        say(
            f"{out}: {size:.1f} MiB, {chosen.name}, {manifest.items:,} items. "
            f"Check it: odllm verify {out} --model {model}"
        )


def _export_decoder(model: Path, out: Path, precision: str, overwrite: bool, json: bool) -> None:
    """Write form `decoder`: the model alone, without a catalogue."""
    from odllm_export.decoder_form import export_decoder

    with progress_bar("exporting") as progress:
        facts = export_decoder(model, out, precision=precision, overwrite=overwrite, progress=progress)
    if json:
        print_json(facts)
    else:
        say(f"{out}: form decoder, {precision}. Constrain it: odllm export-processor {model} --behind {out}/model.onnx")
