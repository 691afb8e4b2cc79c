"""What fine-tuning starts from: a pretrained model that is given code tokens, or a recommender that has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from lcrec.errors import FineTuningError, ItemCodesError
from lcrec.pretrained import SMOLLM2, UNTRAINED, add_code_tokens, load_pretrained, load_shape, name_code_tokens
from lcrec.prompt import FILE_NAME, PromptText, RecommenderCard, read_card
from lcrec.tasks.mixture import deployed_text
from lcrec.tasks.templates import Families
from lcrec.tokenizer import begun

CheckFamily = Callable[[Any], None]
"""Raises an error for a transformers configuration that cannot be deployed."""


@dataclass(frozen=True, eq=False)
class Start:
    """A model and a tokenizer that speak a dataset's codes.

    Attributes:
        model: on the CPU, in the types that its base has.
        tokenizer: with code tokens.
        text: the words of the prompt to deploy.
        first_code_token: the token id of the first level's code 0.
        code_rows: code tokens over all levels.
        trained: whether their rows were trained before: a recommender's.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    text: PromptText
    first_code_token: int
    code_rows: int
    trained: bool = False


def start_from(
    base: str,
    sizes: tuple[int, ...],
    *,
    text: PromptText | None = None,
    families: Families | None = None,
    seed: int,
    check: CheckFamily,
    weights: bool = True,
) -> Start:
    """Load a base and have it speak codes of these sizes.

    Args:
        base: what `load_pretrained` takes, or the folder of a recommender of the same codes.
        sizes: codes a level.
        text: words of the prompt, put behind the begin-of-sequence token where they leave it out; None takes the
            recommender's own where it has some, else the first of the families', history last.
        families: prompts of one's own.
        seed: of the new rows.
        check: refuses families that cannot be deployed.
        weights: without, the model's shape only is read, and its weights hold nothing (torch's device `meta`).

    Raises:
        ItemCodesError: the base has codes of another depth or other sizes.
        ModelError: nothing of that name can be read, or the vocabulary has code tokens without being a recommender's.
        FineTuningError: the base is a compressed model.
    """
    card = _card_of(base)
    if card is not None and tuple(card.prompt.code_sizes) != tuple(sizes):
        raise ItemCodesError(
            f"{base} speaks codes of the sizes {list(card.prompt.code_sizes)}, the dataset has {list(sizes)}. "
            "Begin with the pretrained model, or take the dataset that the recommender was trained on."
        )
    if weights or base == SMOLLM2 or base.endswith(".gguf"):
        model, tokenizer = load_pretrained(base)
        check(model.config)
        first = card.prompt.first_code_token if card else add_code_tokens(model, tokenizer, sizes, seed=seed)
    else:
        config, tokenizer = load_shape(base)
        check(config)
        first = card.prompt.first_code_token if card else name_code_tokens(tokenizer, sizes)
        model = _shape(config, max(config.vocab_size, first + sum(sizes)))
    if text is not None:
        text = begun(tokenizer, text)
    else:
        text = card.prompt_text if card else deployed_text(tokenizer, families)
    trained = card is not None and card.training.get("method") != UNTRAINED
    return Start(model, tokenizer, text, first, sum(sizes), trained)


def _shape(config: Any, vocabulary: int) -> PreTrainedModel:
    config.vocab_size = vocabulary
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _card_of(base: str) -> RecommenderCard | None:
    folder = Path(base)
    if (folder / "low_rank.json").is_file():
        raise FineTuningError(f"{base} is compressed. Fine-tune the dense model, then compress it: odllm compress")
    return read_card(folder) if (folder / FILE_NAME).is_file() else None
