"""The prompts that a recommender was trained with, in token ids: to be evaluated one by one, or all.

LC-Rec trains one task with several wordings and tests with one of them or with every one in turn. On the device only
the deployed one exists, in token ids; the others are read here by the tokenizer in the model's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from transformers import AutoTokenizer

from lcrec.errors import PromptError
from lcrec.prompt import Prompt, RecommenderCard
from lcrec.tokenizer import make_prompt

DEPLOYED, ALL = "deployed", "all"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


def chosen_prompts(card: RecommenderCard, folder: Path, template: str) -> Mapping[int, Prompt]:
    """Return the prompts that `template` names, by their number among the card's templates.

    Args:
        card: of the model.
        folder: of the model: its tokenizer reads the words of templates.
        template: `deployed` (number 0, no tokenizer is needed), `all`, or a number.

    Raises:
        PromptError: there is no such template, or only the deployed one where all are asked for; the folder has no
            tokenizer, or one that no longer reads the deployed words as the card has them.
    """
    if template == DEPLOYED:
        return {0: card.prompt}
    if template == ALL and not card.templates:
        raise PromptError(
            f"{folder} records no templates: the deployed prompt is the only one it was trained with. Leave out "
            "--template, or train with several."
        )
    texts = card.templates or (card.prompt_text,)
    numbers = range(len(texts)) if template == ALL else [_number(template, len(texts), folder)]
    tokenizer = _load_tokenizer(folder)
    sizes, max_items = card.prompt.code_sizes, card.prompt.max_items
    if make_prompt(tokenizer, texts[0], sizes, max_items) != card.prompt:
        raise PromptError(
            f"the tokenizer in {folder} reads the first template otherwise than the deployed prompt stands in "
            "recommender.json: one of the two files was changed. Take the folder as it was written."
        )
    return {number: make_prompt(tokenizer, texts[number], sizes, max_items) for number in numbers}


def _number(template: str, count: int, folder: Path) -> int:
    if template.isdecimal() and int(template) < count:
        return int(template)
    known = (
        "is number 0, the deployed one" if count == 1 else f"are numbers 0 (the deployed one) to {count - 1}, and all"
    )
    raise PromptError(f"template {template!r} is not one of {folder}: there {known}")


def _load_tokenizer(folder: Path) -> AutoTokenizer:
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise PromptError(
            f"{folder} holds no tokenizer, which is needed to read the words of templates. Copy tokenizer.json and "
            "tokenizer_config.json from where the model was trained, or evaluate the deployed prompt."
        )
    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise PromptError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
