"""`odllm base`: an untrained recommender out of a pretrained language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, say
from odllm.options import Json, Overwrite, Seed, Threads


def base(
    model: Annotated[str, typer.Argument(help="Model folder, GGUF file, Hugging Face name, or smollm2-135m.")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder with item codes (`odllm codes`).")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    prefix: Annotated[str | None, typer.Option(help="Words before the history, instead of English ones.")] = None,
    separator: Annotated[str | None, typer.Option(help="Words between two items.")] = None,
    suffix: Annotated[str | None, typer.Option(help="Words after the history.")] = None,
    max_items: Annotated[int, typer.Option(min=1, help="History items that a prompt holds.")] = 20,
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Add a dataset's code tokens to a pretrained model: what fine-tuning starts from."""
    import msgspec

    from compression.checkpoint import check_supported
    from lcrec.dataset import load_dataset
    from lcrec.pretrained import load_pretrained, new_recommender
    from lcrec.tasks.mixture import deployed_text
    from lcrec.train import dataset_facts
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    data = load_dataset(dataset)
    data.require_codes()
    language_model, tokenizer = load_pretrained(model)
    check_supported(language_model.config)
    words = {"prefix": prefix, "separator": separator, "suffix": suffix}
    text = msgspec.structs.replace(deployed_text(tokenizer), **{k: v for k, v in words.items() if v is not None})
    card = new_recommender(
        language_model,
        tokenizer,
        data,
        out,
        base=model,
        facts=dataset_facts(data, dataset),
        text=text,
        max_items=max_items,
        seed=seed,
        overwrite=overwrite,
    )
    if json:
        print_json(msgspec.to_builtins(card))
    else:
        say(
            f"{out}: {card.training['parameters']:,} parameters, of which {card.prompt.code_rows:,} code tokens are "
            f"untrained; prompts of up to {card.prompt.max_tokens} tokens"
        )
