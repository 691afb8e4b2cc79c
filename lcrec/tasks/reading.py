"""Words in token ids, as a tokenizer reads them where they will stand.

Samples are put together from pieces that are read once: the words of templates, titles, descriptions. A piece is read
behind a context whose own ids are then cut off, so that a tokenizer's habits at the beginning of a text (a space put
before it, a begin-of-sequence token) do not end up in the middle of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from lcrec.errors import PromptError
from lcrec.prompt import code_token

Ids = NDArray[np.int64]

_AFTER_WORDS = (":", "a", "\n")
"""Contexts that words are tried behind; a tokenizer that merges over the border takes the next one."""

_BATCH = 4096
"""Texts read at a time: batches are what fast tokenizers are fast at."""


@dataclass(frozen=True, eq=False)
class ReadTexts:
    """Many texts in token ids, without an array for each of them.

    Attributes:
        ids: int32 `[tokens]`, all texts end to end.
        starts: int64 `[texts + 1]`.
        whole: bool `[texts]`, false where a text was longer than its budget and was cut.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    whole: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, row: int) -> Ids:
        return self.ids[self.starts[row] : self.starts[row + 1]].astype(np.int64)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Bool `[texts]`, false where a text is empty."""
        return np.diff(self.starts) > 0


class WordReader:
    """Reads words with a tokenizer that has code tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._code = code_token(0, 0)

    def at_start(self, words: str) -> Ids:
        """Return the ids of words that a sample begins with."""
        return self._known(np.asarray(self._ids([words])[0], np.int64), words)

    def after_codes(self, words: str) -> Ids:
        """Return the ids of words behind a code token."""
        return self._known(np.asarray(self._behind(self._code, [words])[0], np.int64), words)

    def after_words(self, words: str) -> Ids:
        """Return the ids of words behind other words."""
        return self._known(np.asarray(self._after_words([words])[0], np.int64), words)

    def texts(self, texts: Sequence[str], max_tokens: int) -> ReadTexts:
        """Read texts as they stand behind words and a space, cut to `max_tokens` each; empty ones have no ids."""
        rows: list[NDArray[np.int32]] = []
        whole = np.ones(len(texts), dtype=bool)
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            read = iter(self._after_words([f" {text}" for text in batch if text]))
            for text in batch:
                ids = next(read) if text else []
                whole[len(rows)] = len(ids) <= max_tokens
                rows.append(np.asarray(ids[:max_tokens], dtype=np.int32))
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
        return ReadTexts(np.concatenate([np.zeros(0, np.int32), *rows]), starts, whole)

    def _after_words(self, texts: Sequence[str]) -> list[list[int]]:
        """Read every text behind the first context that it does not melt into; behind a code token none does."""
        found: list[list[int] | None] = [None] * len(texts)
        for context in (*_AFTER_WORDS, self._code):
            left = [i for i, ids in enumerate(found) if ids is None]
            if not left:
                break
            for i, ids in zip(left, self._behind(context, [texts[i] for i in left]), strict=True):
                found[i] = ids
        return [ids if ids is not None else self._ids([text])[0] for ids, text in zip(found, texts, strict=True)]

    def _behind(self, context: str, texts: Sequence[str]) -> list[list[int] | None]:
        """Return what texts become behind a context, or None where the two melt into each other."""
        before = self._ids([context])[0]
        read = self._ids([context + text for text in texts])
        return [ids[len(before) :] if ids[: len(before)] == before else None for ids in read]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"]

    def _known(self, ids: Ids, words: str) -> Ids:
        unknown = self._tokenizer.unk_token_id
        if unknown is not None and unknown in ids:
            raise PromptError(f"the tokenizer has no token for a word of the template {words!r}")
        return ids
