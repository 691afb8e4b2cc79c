"""Requests and responses in token ids: a task's templates, read once, filled with the pieces of a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from lcrec.tasks.encoding import EncodedSample
from lcrec.tasks.reading import Ids, WordReader
from lcrec.tasks.templates import CODE_SLOTS, RequestTemplate, Wrapper, parts, slots

Fill = Callable[[str], "Filled"]
"""Gives what takes a placeholder's place in one sample."""


@dataclass(frozen=True, eq=False)
class Filled:
    """What takes a placeholder's place.

    Attributes:
        ids: int64 `[tokens]`.
        whole: false if it is a text that was cut: a response does not end after it.
    """

    ids: Ids
    whole: bool = True


@dataclass(frozen=True)
class ReadRequest:
    """A template in token ids.

    Attributes:
        steps: ids, or the name of a placeholder; and whether they belong to the response.
        slots: its placeholders.
        end: ids behind a response that was not cut: the end-of-sequence token behind words, nothing behind codes.
    """

    steps: tuple[tuple[Ids | str, bool], ...]
    slots: frozenset[str]
    end: Ids

    def encode(self, task: str, fill: Fill) -> EncodedSample:
        """Return the sample that a template becomes with its placeholders filled."""
        pieces, learned, whole = [], [], True
        for step, is_response in self.steps:
            filled = fill(step) if isinstance(step, str) else Filled(step)
            pieces.append(filled.ids)
            learned.append(np.full(len(filled.ids), is_response))
            whole = whole and (filled.whole or not is_response)
        if whole:
            pieces.append(self.end)
            learned.append(np.ones(len(self.end), dtype=bool))
        return EncodedSample(np.concatenate(pieces), np.concatenate(learned), task)


def read_request(
    template: RequestTemplate, wrapper: Wrapper, tokenizer: PreTrainedTokenizerBase, reader: WordReader
) -> ReadRequest:
    """Read a template inside its wrapper, behind the begin-of-sequence token where the tokenizer has one.

    Raises:
        PromptError: the tokenizer has no token for one of the words.
    """
    begin = _literal((tokenizer.bos_token or "") + wrapper.before)
    steps: list[tuple[Ids | str, bool]] = []
    before: str | None = None  # the placeholder that the next words stand behind, if it is one
    for text, is_response in ((begin + template.request + _literal(wrapper.after), False), (template.response, True)):
        for words, slot in parts(text):
            is_text = slot is not None and slot not in CODE_SLOTS
            kept = words[:-1] if is_text else words  # the space is read with the text
            if kept:
                steps.append((_read(kept, before, bool(steps), reader), is_response))
                before = None
            if slot is not None:
                steps.append((slot, is_response))
                before = slot
    ends = slots(template.response)[-1] not in CODE_SLOTS and tokenizer.eos_token_id is not None
    end = np.array([tokenizer.eos_token_id] if ends else [], dtype=np.int64)
    return ReadRequest(tuple(steps), frozenset(slots(template.request) + slots(template.response)), end)


def _read(words: str, before: str | None, inside: bool, reader: WordReader) -> Ids:
    """Read words where they stand: first, behind a placeholder of codes, or behind words."""
    if not inside:
        return reader.at_start(words)
    return reader.after_codes(words) if before in CODE_SLOTS else reader.after_words(words)


def _literal(words: str) -> str:
    """Return words with their braces doubled, as templates have them."""
    return words.replace("{", "{{").replace("}", "}}")
