"""`odllm train`: a recommender from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Overwrite, Seed, Threads


def train(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder with item codes (`odllm codes`).")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    preset: Annotated[str, typer.Option(help="Shape and recipe: tiny, small or medium.")] = "tiny",
    parameters: Annotated[
        int | None, typer.Option(min=1, help="Another width than the preset's, for (nearly) so many parameters.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Learn from this model's distribution too; of the same dataset and prompt.")
    ] = None,
    teacher_weight: Annotated[float, typer.Option(help="The teacher's share in the loss, above 0 and up to 1.")] = 0.5,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data, instead of the preset's.")] = None,
    left_out: Annotated[
        float | None, typer.Option(min=0, max=0.9, help="Share of the items left out, others every epoch.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Words before the history, instead of the preset's.")] = None,
    separator: Annotated[str | None, typer.Option(help="Words between two items.")] = None,
    suffix: Annotated[str | None, typer.Option(help="Words after the history.")] = None,
    max_items: Annotated[int | None, typer.Option(min=1, help="History items that a prompt holds.")] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a LLaMA-architecture recommender on a dataset's item codes; a killed run goes on where it was."""
    import msgspec

    from lcrec.dataset import load_dataset
    from lcrec.model import find_preset, resized
    from lcrec.tokenizer import build_tokenizer
    from lcrec.train import dataset_facts
    from lcrec.train import train as run
    from odllm.teacher import load_teacher
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    recipe = find_preset(preset)
    words = {"prefix": prefix, "separator": separator, "suffix": suffix}
    text = msgspec.structs.replace(recipe.prompt_text, **{k: v for k, v in words.items() if v is not None})
    changes = {"epochs": epochs, "left_out": left_out, "max_items": max_items, "prompt_text": text}
    recipe = msgspec.structs.replace(recipe, **{k: v for k, v in changes.items() if v is not None})
    data = load_dataset(dataset)
    if parameters is not None:
        recipe = resized(recipe, parameters, len(build_tokenizer(text, data.require_codes().sizes)))
    with progress_bar("training") as progress:
        report = run(
            data,
            recipe,
            out,
            facts=dataset_facts(data, dataset),
            teacher=None if teacher is None else load_teacher(teacher, teacher_weight),
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json(report)
    else:
        say(
            f"{out}: {report['parameters']:,} parameters, {report['epochs']} epochs in {report['seconds']:.0f} s, "
            f"validation NDCG@10 {report['validation_ndcg@10']:.4f}"
        )
