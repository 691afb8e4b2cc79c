"""`odllm finetune`: a recommender out of a pretrained language model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Overwrite, Threads


def finetune(
    base: Annotated[
        str, typer.Argument(help="Model folder (a recommender's too), GGUF file, Hugging Face name, or smollm2-135m.")
    ],
    dataset: Annotated[Path, typer.Option(help="Dataset folder with item codes (`odllm codes`).")],
    out: Annotated[Path | None, typer.Option(help="Model folder to write; not needed for a dry run.")] = None,
    config: Annotated[Path | None, typer.Option(help="Recipe in YAML (see configs/); options go over it.")] = None,
    learning: Annotated[str | None, typer.Option(help="full, lora or new-rows: which weights learn.")] = None,
    embeddings: Annotated[str | None, typer.Option(help="Beside LoRA: all, or new-rows of embedding and head.")] = None,
    users: Annotated[int | None, typer.Option(help="Learn from so many users only, drawn at random.")] = None,
    tasks: Annotated[str | None, typer.Option(help="What is learned, by commas, like seqrec,item2index.")] = None,
    vary: Annotated[bool | None, typer.Option(help="Train with a family of prompts, or the deployed one only.")] = None,
    max_items: Annotated[int | None, typer.Option(help="History items that a prompt holds.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Steps at most; the schedule ends there.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its peak.")] = None,
    new_rows_rate: Annotated[
        float | None, typer.Option(help="New code tokens' rows learn at so many times the learning rate.")
    ] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Tokens a step, over all devices.")] = None,
    device_tokens: Annotated[int | None, typer.Option(help="Tokens of one forward on one device.")] = None,
    precision: Annotated[str | None, typer.Option(help="bf16, fp32, or auto: what the device can.")] = None,
    gradient_checkpointing: Annotated[
        bool | None, typer.Option(help="Compute activations again instead of keeping them.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="What stops early: loss, or ndcg.")] = None,
    validation_users: Annotated[int | None, typer.Option(help="How many users validate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what it will take: samples, steps, memory, time. Write nothing.")
    ] = False,
    measure: Annotated[bool, typer.Option(help="Have the dry run take a few steps to know the time.")] = True,
    tokens_per_second: Annotated[
        float | None, typer.Option(min=1e-3, help="Assume this throughput of all devices in the dry run.")
    ] = None,
    peak_tflops: Annotated[
        float | None, typer.Option(min=1e-3, help="Of one device: the dry run says which share is reached.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away the checkpoints of an unfinished run.")
    ] = False,
    json: Json = False,
) -> None:
    """Fine-tune a language model on a dataset's item codes; a killed run goes on from its last checkpoint.

    Several processes share the work under `accelerate launch`: `… -m odllm finetune …` (configs/accelerate/).
    """
    from compression.checkpoint import check_supported
    from lcrec.dataset import load_dataset
    from lcrec.finetune.config import read_config
    from lcrec.finetune.job import Job
    from lcrec.finetune.run import fine_tune
    from lcrec.train import dataset_facts
    from odllm.dry_run_report import show_dry_run
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    overrides = {
        "learning": learning,
        "embeddings": embeddings,
        "users": users,
        "tasks": None if tasks is None else tasks.split(","),
        "vary": vary,
        "max_items": max_items,
        "epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "new_rows_rate": new_rows_rate,
        "batch_tokens": batch_tokens,
        "device_tokens": device_tokens,
        "precision": precision,
        "gradient_checkpointing": gradient_checkpointing,
        "metric": metric,
        "validation_users": validation_users,
        "seed": seed,
    }
    recipe = read_config(config, overrides)
    data = load_dataset(dataset)
    if (note := _other_data(base, dataset)) is not None:
        say(f"{note}; the recommender is taken further all the same")
    job = Job(base, data, recipe, check_supported)
    if dry_run:
        show_dry_run(job, tokens_per_second, measure=measure, peak_tflops=peak_tflops, as_json=json)
        return
    if out is None:
        raise typer.BadParameter("the model's folder is missing", param_hint="--out")
    with progress_bar("fine-tuning") as progress:
        report = fine_tune(
            job,
            out,
            facts=dataset_facts(data, dataset),
            overwrite=overwrite,
            restart=restart,
            progress=progress,
        )
    if not report:  # one of several processes, and not the one that writes
        return
    if json:
        print_json(report)
    else:
        say(
            f"{out}: {report['learned_parameters']:,} of {report['parameters']:,} parameters learned, "
            f"{report['steps']} steps in {report['seconds']:.0f} s ({report['tokens_per_second']:.0f} tokens/s), "
            f"validation loss {report['best']['loss']:.4f} after step {report['best_step']}"
        )


def _other_data(base: str, dataset: Path) -> str | None:
    """Return in words how the dataset differs from the one that a recommender was trained on; None of other bases."""
    from lcrec.dataset_match import compare_data
    from lcrec.prompt import FILE_NAME, read_card

    folder, first = Path(base), os.environ.get("RANK", "0") == "0"  # of several processes, one says it
    if not first or not (folder / FILE_NAME).is_file():
        return None
    return compare_data(read_card(folder), folder, dataset, any_codes=True)
