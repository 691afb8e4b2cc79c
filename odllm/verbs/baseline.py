"""`odllm baseline`: what a recommender is held against, run here and not quoted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from odllm.console import print_json, print_table, progress_bar, say
from odllm.options import Json, Overwrite, Seed, Threads

app = typer.Typer(no_args_is_help=True)

Model = Annotated[Path, typer.Argument(help="Model folder, as `odllm train` writes it.")]
Out = Annotated[Path, typer.Option(help="Folder to write; `odllm evaluate` reads it like any model.")]
Calibration = Annotated[Path, typer.Option(help="Dataset folder with item codes; its training users calibrate.")]
Sequences = Annotated[int, typer.Option(help="Calibration sequences.", min=1)]
Python = Annotated[Path, typer.Option(help="Interpreter of the environment that `make baselines` makes.")]


@app.command("sasrec", help="Train SASRec on a dataset and measure it.")
def sasrec(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder with item codes (`odllm codes`).")],
    out: Out,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data, at most.")] = 200,
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train SASRec as RecBole does, stop early on validation NDCG@10, and measure it on the test split."""
    from lcrec.sasrec import SasRecRecipe
    from odllm.baselines.folders import sasrec_folder
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    with progress_bar("training SASRec") as progress:
        recipe = SasRecRecipe(epochs=epochs)
        record = sasrec_folder(dataset, out, recipe, seed=seed, overwrite=overwrite, progress=progress)
    if json:
        print_json(record)
        return
    rows = {"all items": record["test"], "without what was seen": record["test_without_seen"]}
    names = ("hit_rate@1", "hit_rate@5", "hit_rate@10", "ndcg@5", "ndcg@10")
    print_table(
        f"SASRec, {record['parameters']:,} parameters, {record['epochs']} epochs in {record['seconds']:.0f} s, "
        f"{record['test']['users']} test users",
        ["", "HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10"],
        [[lists, *(f"{test[name]:.4f}" for name in names)] for lists, test in rows.items()],
    )


@app.command("round", help="Round a model's weights to nearest.")
def round_(
    model: Model,
    out: Out,
    precision: Annotated[
        str, typer.Option(help="int8-dynamic, int8-, int4- or int3-block32, -block64, -block128, fp16.")
    ] = "int4-block32",
    tables: Annotated[bool, typer.Option("--tables", help="Embedding and head too, as the export does.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Replace the weights of the projections by the numbers they are rounded to, with the exporter's rounding."""
    from odllm.baselines.folders import rounded_folder
    from odllm.torch_setup import set_up_torch

    set_up_torch(1)
    _show(rounded_folder(model, out, precision, tables=tables, overwrite=overwrite), out, json)


@app.command("gptq", help="Round a model's weights to 4 bits with GPTQ.")
def gptq(
    model: Model,
    dataset: Calibration,
    out: Out,
    group: Annotated[int, typer.Option(help="Inputs that share a scale; must divide every projection's.")] = 128,
    sequences: Sequences = 1024,
    python: Python = Path(".venv-baselines/bin/python"),
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Have llm-compressor round the projections to 4 bits, each error made up for by the weights that follow."""
    from odllm.baselines.folders import llm_compressor_folder
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    record = llm_compressor_folder(
        model,
        dataset,
        out,
        "gptq",
        group=group,
        sequences=sequences,
        seed=seed,
        threads=threads,
        python=python,
        overwrite=overwrite,
    )
    _show(record, out, json)


@app.command("sparsegpt", help="Set half of a model's weights to zero with SparseGPT.")
def sparsegpt(
    model: Model,
    dataset: Calibration,
    out: Out,
    mask: Annotated[str, typer.Option(help="0:0 for any half of the weights, 2:4 for two of every four.")] = "0:0",
    sequences: Sequences = 1024,
    python: Python = Path(".venv-baselines/bin/python"),
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Have llm-compressor drop half of the projections' weights, each made up for by those that stay."""
    from odllm.baselines.folders import llm_compressor_folder
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    record = llm_compressor_folder(
        model,
        dataset,
        out,
        "sparsegpt",
        mask=mask,
        sequences=sequences,
        seed=seed,
        threads=threads,
        python=python,
        overwrite=overwrite,
    )
    _show(record, out, json)


def _show(record: dict[str, Any], out: Path, json: bool) -> None:
    if json:
        print_json(record)
        return
    ratio = record["bytes"] / record["bytes_fp32"]
    say(f"{out}: {record['method']}, matrices of {record['bytes']:,} bytes, {ratio:.3f} of float32")
