"""Tokenizers: one for recommenders trained from scratch, and what any must do: read prompts as a device builds them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as Steps
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lcrec.errors import PromptError
from lcrec.prompt import Prompt, PromptText, code_token_names

BEGIN, PAD, UNKNOWN = "<s>", "<pad>", "<unk>"
_MARK = re.compile(r"<[^<>\s]+>")
_PIECE = r"<[^<>\s]+>|\w+|[^\w\s]"


def build_tokenizer(text: PromptText, code_sizes: Sequence[int]) -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer whose last ids are the code tokens, level by level."""
    words = re.findall(_PIECE, f"{text.prefix} {text.separator} {text.suffix}")
    names = list(dict.fromkeys([PAD, UNKNOWN, BEGIN, *words])) + code_token_names(code_sizes)
    tokenizer = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = Steps(
        [Split(Regex(_PIECE), behavior="isolated"), Split(Regex(r"\s+"), behavior="removed")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, bos_token=BEGIN, add_bos_token=False
    )


def begun(tokenizer: PreTrainedTokenizerBase, text: PromptText) -> PromptText:
    """Return the words behind the tokenizer's begin-of-sequence token, unless it has none or they begin with it."""
    begin = tokenizer.bos_token or ""
    return text if text.prefix.startswith(begin) else PromptText(begin + text.prefix, text.separator, text.suffix)


def make_prompt(
    tokenizer: PreTrainedTokenizerBase, text: PromptText, code_sizes: Sequence[int], max_items: int
) -> Prompt:
    """Return the prompt in token ids: what the tokenizer makes of the words where they stand, between code tokens.

    On which side the tokenizer pads does not matter: it never pads here, and batches are padded on the right.

    Raises:
        PromptError: a word of the prompt, or a code token, is not in the vocabulary, code tokens are not contiguous or
            read as something else, nothing stands before the first item, or the tokenizer reads the same words
            otherwise from one prompt to another.
    """
    codes = code_token_ids(tokenizer, code_sizes)
    _check_begin(tokenizer, text)
    levels = len(code_sizes)

    def read(items: int) -> list[int]:
        return _read(tokenizer, text.render(np.zeros((items, levels), int)))

    ids = read(2)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        raise PromptError(f"the tokenizer has no token for a word of the prompt {text}")
    starts = [place for place, token in enumerate(ids) if token == codes[0]]
    if len(starts) != 2:
        raise PromptError(f"code tokens may not stand in the words of the prompt {text}")
    prefix, between, suffix = ids[: starts[0]], ids[starts[0] + levels : starts[1]], ids[starts[1] + levels :]
    if not prefix:
        raise PromptError(
            f"the prompt {text} begins with an item; a begin-of-sequence token or a word must stand before it"
        )
    prompt = Prompt(tuple(prefix), tuple(between), tuple(suffix), max_items, tuple(code_sizes), codes[0])
    for items in (1, max_items):
        if read(items) != prompt.encode(np.zeros((items, levels), int)).tolist():
            raise PromptError(f"with {items} items the tokenizer reads the words of the prompt otherwise: {text}")
    return prompt


def code_token_ids(tokenizer: PreTrainedTokenizerBase, code_sizes: Sequence[int]) -> list[int]:
    """Return the ids of all code tokens, level by level, after checking that the tokenizer reads each as one token.

    Raises:
        PromptError: one is missing, split, or does not follow the one before it.
    """
    names = code_token_names(code_sizes)
    ids = list(tokenizer.convert_tokens_to_ids(names))
    for name, found, place in zip(names, ids, range(len(ids)), strict=True):
        if found in (None, tokenizer.unk_token_id):
            raise PromptError(f"the tokenizer has no code token {name}; add all of them, level by level")
        if found != ids[0] + place:
            raise PromptError(
                f"code tokens are not contiguous: {name} has the id {found}, expected {ids[0] + place}, behind "
                f"{names[place - 1]}; add them level by level, or the model was made for codes of other sizes"
            )
    known, among_words = set(ids), _read(tokenizer, f"x{'x'.join(names)}x")
    if _read(tokenizer, "".join(names)) != ids or [one for one in among_words if one in known] != ids:
        _refuse_split(tokenizer, names, ids)
    return ids


def _refuse_split(tokenizer: PreTrainedTokenizerBase, names: Sequence[str], ids: Sequence[int]) -> NoReturn:
    """Give an example of a code token that is read as something else: alone, or else between words."""
    examples = [name for name, one in zip(names, ids, strict=True) if _read(tokenizer, name) != [one]]
    examples += [f"x{name}x" for name, one in zip(names, ids, strict=True) if one not in _read(tokenizer, f"x{name}x")]
    example = (examples or ["".join(names)])[0]
    pieces = " ".join(repr(piece) for piece in tokenizer.convert_ids_to_tokens(_read(tokenizer, example)))
    raise PromptError(
        f"the tokenizer splits code tokens: it reads {example} as {pieces}. Add them as tokens that its normalizer "
        "leaves alone: AddedToken(name, normalized=False)"
    )


def _check_begin(tokenizer: PreTrainedTokenizerBase, text: PromptText) -> None:
    """Refuse a begin-of-sequence token of some other tokenizer, which would be read as words."""
    mark = _MARK.match(text.prefix)
    if mark is not None and tokenizer.convert_tokens_to_ids(mark[0]) in (None, tokenizer.unk_token_id):
        begin = tokenizer.bos_token
        advice = f"begin with {begin}" if begin else "leave it out, the tokenizer has no begin-of-sequence token"
        raise PromptError(f"the prompt begins with {mark[0]}, which the tokenizer does not know as a token: {advice}")


def _read(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
