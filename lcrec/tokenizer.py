"""A tokenizer for recommenders trained from scratch: the prompt's words and the code tokens, nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
    """Return the prompt in token ids.

    Raises:
        PromptError: a word of the prompt, or a code token, is not in the vocabulary, or code tokens are not contiguous.
    """
    codes = tokenizer.convert_tokens_to_ids(code_token_names(code_sizes))
    if tokenizer.unk_token_id in codes or codes != list(range(codes[0], codes[0] + len(codes))):
        raise PromptError("the tokenizer lacks code tokens, or they are not contiguous; add them level by level")

    def ids(part: str) -> tuple[int, ...]:
        found = tuple(tokenizer(part, add_special_tokens=False)["input_ids"]) if part else ()
        if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in found:
            raise PromptError(f"the tokenizer has no token for a word of the prompt {part!r}")
        return found

    return Prompt(ids(text.prefix), ids(text.separator), ids(text.suffix), max_items, tuple(code_sizes), codes[0])
