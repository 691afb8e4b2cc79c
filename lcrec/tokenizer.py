"""A tokenizer for recommenders trained from scratch: the prompt's words and the code tokens, nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as Steps
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lcrec.errors import PromptError
from lcrec.prompt import Prompt, PromptText, code_token_names

BEGIN, PAD, UNKNOWN = "<s>", "<pad>", "<unk>"
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


def make_prompt(
    tokenizer: PreTrainedTokenizerBase, text: PromptText, code_sizes: Sequence[int], max_items: int
) -> Prompt:
    """Return the prompt in token ids: what the tokenizer makes of the words where they stand, between code tokens.

    Raises:
        PromptError: a word of the prompt, or a code token, is not in the vocabulary, code tokens are not contiguous,
            or the tokenizer reads the same words otherwise from one prompt to another.
    """
    codes = tokenizer.convert_tokens_to_ids(code_token_names(code_sizes))
    unknown = (None, tokenizer.unk_token_id)
    if codes[0] in unknown or codes != list(range(codes[0], codes[0] + len(codes))):
        raise PromptError("the tokenizer lacks code tokens, or they are not contiguous; add them level by level")
    levels = len(code_sizes)

    def read(items: int) -> list[int]:
        return list(tokenizer(text.render(np.zeros((items, levels), int)), add_special_tokens=False)["input_ids"])

    ids = read(2)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        raise PromptError(f"the tokenizer has no token for a word of the prompt {text}")
    starts = [place for place, token in enumerate(ids) if token == codes[0]]
    if len(starts) != 2:
        raise PromptError(f"code tokens may not stand in the words of the prompt {text}")
    prefix, between, suffix = ids[: starts[0]], ids[starts[0] + levels : starts[1]], ids[starts[1] + levels :]
    prompt = Prompt(tuple(prefix), tuple(between), tuple(suffix), max_items, tuple(code_sizes), codes[0])
    for items in (1, max_items):
        if read(items) != prompt.encode(np.zeros((items, levels), int)).tolist():
            raise PromptError(f"with {items} items the tokenizer reads the words of the prompt otherwise: {text}")
    return prompt
