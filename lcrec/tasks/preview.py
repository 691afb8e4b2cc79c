"""Samples to look at before hours are spent on them: one of each task in words, what is learned marked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from lcrec.tasks.encoding import EncodedSample
from lcrec.tasks.mixture import TaskMixture

LEARNED = ("«", "»")
"""What stands around the parts that carry loss."""


@dataclass(frozen=True)
class Preview:
    """One sample for people.

    Attributes:
        task: the task's name.
        tokens: of the sample.
        learned_tokens: of them, those that carry loss.
        text: as the tokenizer writes it, the learned parts between `LEARNED`.
    """

    task: str
    tokens: int
    learned_tokens: int
    text: str


def preview(mixture: TaskMixture, seed: int = 0) -> list[Preview]:
    """Return the first sample of every task of an epoch, in the order in which the tasks come up."""
    found: dict[str, EncodedSample] = {}
    for sample in mixture.epoch(seed):
        found.setdefault(sample.task, sample)
        if len(found) == len(mixture.tasks):
            break
    return [
        Preview(task, len(sample.ids), int(sample.learned.sum()), _marked(sample, mixture))
        for task, sample in found.items()
    ]


def _marked(sample: EncodedSample, mixture: TaskMixture) -> str:
    """Return a sample's text; each run of tokens is written alone, so that marks cannot fall inside a character."""
    runs = []
    for is_learned, places in groupby(range(len(sample.ids)), lambda place: bool(sample.learned[place])):
        text = mixture.tokenizer.decode(sample.ids[list(places)], clean_up_tokenization_spaces=False)
        runs.append(f"{LEARNED[0]}{text}{LEARNED[1]}" if is_learned else text)
    return "".join(runs)
