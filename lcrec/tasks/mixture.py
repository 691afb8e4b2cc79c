"""All tasks of a fine-tuning, mixed: what an epoch consists of, by its seed.

An epoch is planned first (which sample, which template, which target), a few bytes a sample; token ids are put
together when a sample is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from lcrec.dataset import Dataset
from lcrec.errors import TaskError
from lcrec.prompt import Prompt, PromptText
from lcrec.tasks.encoding import EncodedSample
from lcrec.tasks.item_pieces import ItemPieces, TokenBudgets, read_items
from lcrec.tasks.plan import Task, TaskPlan
from lcrec.tasks.reading import WordReader
from lcrec.tasks.request_ids import read_request
from lcrec.tasks.requested import RequestedTask
from lcrec.tasks.sequences import SequenceTask, held_out
from lcrec.tasks.sources import HistorySource, ItemSource, Source
from lcrec.tasks.templates import SEQREC, TASKS, Families, load_families
from lcrec.tasks.user_sources import PreferenceSource, UserPieces, WishSource
from lcrec.tokenizer import begun, make_prompt


class Epoch(Sequence[EncodedSample]):
    """The samples of an epoch in their order, each encoded when it is asked for."""

    def __init__(self, plans: Sequence[TaskPlan], random: np.random.Generator) -> None:
        self._plans = tuple(plans)
        self._starts = np.cumsum([0, *map(len, plans)])
        self._order = random.permutation(int(self._starts[-1]))

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> EncodedSample: ...

    @overload
    def __getitem__(self, index: slice) -> list[EncodedSample]: ...

    def __getitem__(self, index: int | slice) -> EncodedSample | list[EncodedSample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = int(self._order[index])
        plan = int(np.searchsorted(self._starts, place, side="right")) - 1
        return self._plans[plan].encode(place - int(self._starts[plan]))

    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of every sample, in the order of the epoch."""
        return np.concatenate([plan.lengths() for plan in self._plans])[self._order]


class TaskMixture:
    """Samples of several tasks, drawn anew every epoch.

    Attributes:
        prompt: the deployed prompt.
        templates: the words of the prompts that seqrec is trained with, the deployed one first.
        tasks: their names.
        tokenizer: the one that samples are read with.
    """

    def __init__(
        self,
        dataset: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        text: PromptText,
        *,
        tasks: Sequence[str] = (SEQREC,),
        max_items: int = 20,
        every_target: bool = True,
        vary: bool = True,
        weights: Mapping[str, float] | None = None,
        families: Families | None = None,
        budgets: TokenBudgets | None = None,
    ) -> None:
        """Read everything that samples are made of.

        Args:
            dataset: with item codes.
            tokenizer: with code tokens.
            text: the words of the deployed prompt, begin-of-sequence token included.
            tasks: which tasks, by name.
            max_items: history items a prompt holds.
            every_target: make a window of a history one sequence with a response at every item after the first.
            vary: train seqrec with all prompts of the family beside the deployed one; without, with that alone.
            weights: samples of a task an epoch, relative to how many there are; 1 where not given.
            families: the words; default: those of this package.
            budgets: where texts are cut.

        Raises:
            TaskError: a task is unknown, or the dataset lacks what it is made of.
            ItemCodesError: the dataset has no codes.
            PromptError: the tokenizer cannot read the words, or has no code tokens.
        """
        self._weights = _checked_weights(tasks, weights or {})
        families = families or load_families()
        self._dataset = dataset
        self.tokenizer, self.tasks = tokenizer, tuple(tasks)
        varied = vary and SEQREC in tasks
        self.templates = _seqrec_texts(text, families, tokenizer) if varied else (text,)
        sizes = dataset.require_codes().sizes
        prompts = [make_prompt(tokenizer, one, sizes, max_items) for one in self.templates]
        self.prompt: Prompt = prompts[0]
        self._tasks: list[Task] = []
        if SEQREC in tasks:
            self._tasks.append(SequenceTask(dataset, prompts, every_target=every_target))
        requested = [task for task in tasks if task != SEQREC]
        if requested:
            self._tasks += _requested(
                requested, dataset, tokenizer, self.prompt, families=families, budgets=budgets or TokenBudgets()
            )

    def epoch(self, seed: int) -> Epoch:
        """Return an epoch's samples, shuffled: templates, targets and windows are drawn by the seed."""
        random = np.random.default_rng(seed)
        return Epoch([task.plan(self._weights.get(task.name, 1.0), random) for task in self._tasks], random)

    def validation(self, users: int | None = None) -> list[EncodedSample]:
        """Return the validation items of the first `users` users (all without it) behind the deployed prompt."""
        split, codes = self._dataset.split(), self._dataset.require_codes().codes
        pairs = zip(split.validation_history[:users], split.validation_target[:users], strict=True)
        return [held_out(history, int(target), codes, self.prompt) for history, target in pairs]


def deployed_text(tokenizer: PreTrainedTokenizerBase, families: Families | None = None) -> PromptText:
    """Return the prompt to deploy unless a user has words of their own: the first of the family, history last."""
    return begun(tokenizer, (families or load_families()).seqrec[0])


def _seqrec_texts(text: PromptText, families: Families, tokenizer: PreTrainedTokenizerBase) -> tuple[PromptText, ...]:
    return tuple(dict.fromkeys([text, *(begun(tokenizer, one) for one in families.seqrec)]))


def _requested(
    tasks: Sequence[str],
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    *,
    families: Families,
    budgets: TokenBudgets,
) -> list[RequestedTask]:
    """Read the items' words, the users' texts if a task needs them, and the templates of these tasks."""
    reader, wrapper = WordReader(tokenizer), families.wrapper
    pieces = read_items(dataset, reader, prompt, wrapper, budgets)
    texts = UserPieces(dataset, reader, budgets.generated)
    made = []
    for task in tasks:
        templates = [read_request(one, wrapper, tokenizer, reader) for one in families.requests[task]]
        made.append(RequestedTask(task, _source(task, dataset, pieces, texts), templates))
    return made


def _source(task: str, dataset: Dataset, pieces: ItemPieces, texts: UserPieces) -> Source:
    if task == "fusionseqrec":
        return HistorySource(task, dataset, pieces)
    if task == "itemsearch":
        return WishSource(task, dataset, pieces, texts)
    if task == "preferenceobtain":
        return PreferenceSource(task, dataset, pieces, texts)
    return ItemSource(task, dataset, pieces)


def _checked_weights(tasks: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Refuse tasks that there are not, and weights that make no sense."""
    unknown = [task for task in (*tasks, *weights) if task not in TASKS]
    if unknown:
        raise TaskError(f"there is no task {unknown[0]!r}; expected some of {', '.join(TASKS)}")
    if not tasks:
        raise TaskError(f"no task was given; expected some of {', '.join(TASKS)}")
    twice = next((task for i, task in enumerate(tasks) if task in tasks[:i]), None)
    if twice is not None:
        raise TaskError(f"the task {twice} is given twice; a weight makes it more frequent")
    for task, weight in weights.items():
        if task not in tasks:
            raise TaskError(f"there is a weight for {task}, which is none of the tasks {', '.join(tasks)}")
        if not 0 < weight <= 100:
            raise TaskError(f"the weight of {task} is {weight}; expected above 0 and at most 100")
    return dict(weights)
