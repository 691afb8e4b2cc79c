"""The prompt: one typed object that training, evaluation and export share.

A recommender reads `prefix`, the history's items with `separator` between them, `suffix`, and then writes the
codes of the next item. On the device there is no tokenizer: the prompt is put together from token ids, inside the
graph. It equals the tokenizer's output for the same text, id for id (tested).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.errors import PromptError
from odllm_artifact import read_json, write_json

SCHEMA_VERSION = 1
FILE_NAME = "recommender.json"


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a history becomes token ids.

    Attributes:
        prefix_ids: tokens before the first item.
        separator_ids: tokens between two items.
        suffix_ids: tokens after the last item.
        max_items: how many of the last items of a history are read.
        code_sizes: codes a level.
        first_code_token: the token id of the first level's code 0; code tokens are contiguous, level by level.
    """

    prefix_ids: tuple[int, ...]
    separator_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    max_items: int
    code_sizes: tuple[int, ...]
    first_code_token: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            PromptError: a window below 1, or nothing at all before the first code.
        """
        if self.max_items < 1:
            raise PromptError(f"max_items is {self.max_items}; a prompt holds at least one item")
        if not self.prefix_ids:
            raise PromptError("the prompt has no prefix; at least a begin-of-sequence token must stand first")

    @property
    def levels(self) -> int:
        """Codes an item."""
        return len(self.code_sizes)

    @property
    def code_rows(self) -> int:
        """Code tokens over all levels."""
        return sum(self.code_sizes)

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest prompt and the codes written behind it."""
        return self.length(self.max_items) + self.levels

    def length(self, items: int) -> int:
        """Return the tokens of a prompt with `items` items (at most `max_items` count)."""
        items = min(items, self.max_items)
        separators = len(self.separator_ids) * max(items - 1, 0)
        return len(self.prefix_ids) + items * self.levels + separators + len(self.suffix_ids)

    def reusable(self, items: int) -> int:
        """Return how many tokens two prompts share whose first `items` items are the same."""
        return self.length(items) - len(self.suffix_ids)

    def code_tokens(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the token ids of codes `[…, levels]`, same shape."""
        offsets = np.cumsum((0, *self.code_sizes[:-1]))
        return np.asarray(codes, dtype=np.int64) + offsets + self.first_code_token

    def items_ids(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the token ids of items `[items, levels]` with separators between them, without prefix and suffix."""
        tokens = self.code_tokens(codes)
        if not self.separator_ids or len(tokens) < 2:
            return tokens.reshape(-1)
        separators = np.broadcast_to(np.asarray(self.separator_ids, np.int64), (len(tokens), len(self.separator_ids)))
        return np.concatenate([tokens, separators], axis=1).reshape(-1)[: -len(self.separator_ids)]

    def encode(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the prompt of a history, `[tokens]`.

        Args:
            codes: `[history, levels]` codes of the history's items, oldest first; the last `max_items` are read.

        Raises:
            PromptError: the history is empty or its codes have another depth.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.levels:
            raise PromptError(f"codes have shape {codes.shape}; [history, {self.levels}] is needed")
        if not len(codes):
            raise PromptError("the history is empty; a recommendation needs at least one item")
        body = self.items_ids(codes[-self.max_items :])
        return np.concatenate([np.asarray(self.prefix_ids, np.int64), body, np.asarray(self.suffix_ids, np.int64)])


class PromptText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words around the items, as the tokenizer reads them."""

    prefix: str
    separator: str
    suffix: str

    def render(self, codes: NDArray[np.integer]) -> str:
        """Return the prompt of a history as text: what a tokenizer must turn into `Prompt.encode`'s ids."""
        items = ("".join(code_token(level, int(code)) for level, code in enumerate(item)) for item in codes)
        return self.prefix + self.separator.join(items) + self.suffix


class RecommenderCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`recommender.json`: what turns a language model's folder into a recommender.

    Attributes:
        prompt: token ids around the items.
        prompt_text: the same in words.
        dataset: name and hashes of the dataset whose codes the model speaks.
        training: how it was trained; free-form, for people and reports.
        templates: the words of every prompt it was trained with, the deployed one first; empty if it is the only one.
        schema_version: of this file.
    """

    prompt: Prompt
    prompt_text: PromptText
    dataset: dict[str, str]
    training: dict[str, Any]
    templates: tuple[PromptText, ...] = ()
    schema_version: int = SCHEMA_VERSION


def code_token(level: int, code: int) -> str:
    """Return the name of a code token in LC-Rec's notation, `<a_12>`."""
    return f"<{chr(ord('a') + level)}_{code}>"


def code_token_names(code_sizes: Sequence[int]) -> list[str]:
    """Return the names of all code tokens, level by level: the order of code rows."""
    return [code_token(level, code) for level, size in enumerate(code_sizes) for code in range(size)]


def write_card(card: RecommenderCard, folder: Path) -> None:
    """Write `recommender.json` into a model folder."""
    write_json(folder / FILE_NAME, msgspec.to_builtins(card))


def read_card(folder: Path) -> RecommenderCard:
    """Read `recommender.json` of a model folder.

    Raises:
        PromptError: the folder is no recommender, or the file is of a newer schema or damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise PromptError(f"{folder} is not a recommender: it has no {FILE_NAME}. `odllm train` makes such folders.")
    value = read_json(path)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise PromptError(f"{path} has schema version {version}; this version of odllm reads {SCHEMA_VERSION}")
    try:
        return msgspec.convert(value, RecommenderCard)
    except msgspec.ValidationError as error:
        raise PromptError(f"{path} is damaged: {error}") from error
