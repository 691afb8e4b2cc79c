"""The task that is deployed, `seqrec`: from a history's codes to the next item's, behind one of several prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.errors import TaskError
from lcrec.prompt import Prompt
from lcrec.tasks.encoding import EncodedSample
from lcrec.tasks.plan import turns
from lcrec.tasks.templates import SEQREC
from lcrec.windows import encode_window, training_windows

Window = NDArray[np.int32]


class SequenceTask:
    """Windows of the users' training parts.

    With `every_target` a window is one sequence in which every item after the first is a response, otherwise each of
    these items is a sample of its own. Both have the same loss where what stands before the next item is the same
    everywhere: where the suffix equals the separator.
    """

    name = SEQREC

    def __init__(self, dataset: Dataset, prompts: Sequence[Prompt], *, every_target: bool) -> None:
        """Take the training parts.

        Raises:
            TaskError: none of them has two items.
        """
        self._dataset = dataset
        self._codes = dataset.require_codes().codes
        self._prompts = tuple(prompts)
        self._every_target = every_target
        if all(len(sequence) < 4 for sequence in dataset.sequences):
            raise TaskError(
                f"no user of {dataset.name} has four interactions: two are held out, and learning takes two"
            )

    def plan(self, weight: float, random: np.random.Generator) -> SequencePlan:
        """Draw windows and templates."""
        windows = self._windows(random)
        chosen = turns(len(windows), weight, random)
        return SequencePlan(self, windows, chosen, random.integers(0, len(self._prompts), len(chosen)))

    def encode(self, window: Window, template: int) -> EncodedSample:
        """Return a window's tokens: the codes of all items but the first carry loss, or those of the last one."""
        prompt = self._prompts[template]
        ids = encode_window(window, self._codes, prompt)
        learned = np.zeros(len(ids), dtype=bool)
        learned[-prompt.levels :] = True
        if self._every_target:
            learned |= (ids >= prompt.first_code_token) & (ids < prompt.first_code_token + prompt.code_rows)
            begin = len(prompt.prefix_ids)
            learned[begin : begin + prompt.levels] = False
        return EncodedSample(ids, learned, self.name)

    def lengths(self, items: NDArray[np.int64], templates: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tokens of windows of so many items behind these templates."""
        around = np.array([len(prompt.prefix_ids) + len(prompt.suffix_ids) for prompt in self._prompts])
        between = np.array([len(prompt.separator_ids) for prompt in self._prompts])
        return around[templates] + items * self._prompts[0].levels + (items - 2) * between[templates]

    def _windows(self, random: np.random.Generator) -> list[Window]:
        longest = max(prompt.max_items for prompt in self._prompts)
        if self._every_target:
            return [window for user in training_windows(self._dataset, longest, random) for window in user]
        parts = self._dataset.split().train
        return [part[max(end - longest, 0) : end + 1] for part in parts for end in range(1, len(part))]


@dataclass(frozen=True, eq=False)
class SequencePlan:
    """Windows and templates of an epoch."""

    task: SequenceTask
    windows: list[Window]
    chosen: NDArray[np.int64]
    templates: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    def encode(self, place: int) -> EncodedSample:
        """Return a sample."""
        return self.task.encode(self.windows[self.chosen[place]], int(self.templates[place]))

    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of every sample, without putting any together."""
        items = np.array([len(window) for window in self.windows], dtype=np.int64)[self.chosen]
        return self.task.lengths(items, self.templates)


def held_out(history: Window, target: int, item_codes: NDArray[np.int32], prompt: Prompt) -> EncodedSample:
    """Return a history and the item that follows it as a sample whose last codes alone carry loss."""
    ids = encode_window(np.append(history[-prompt.max_items :], target), item_codes, prompt)
    learned = np.zeros(len(ids), dtype=bool)
    learned[-prompt.levels :] = True
    return EncodedSample(ids, learned, SEQREC)
