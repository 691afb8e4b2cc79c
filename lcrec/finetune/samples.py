"""What a fine-tuning learns from: a mixture of tasks over all or some of a dataset's users."""

from __future__ import annotations

from pathlib import Path

from lcrec.dataset import Dataset
from lcrec.errors import FineTuningError
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.starting import Start
from lcrec.tasks.mixture import TaskMixture
from lcrec.tasks.templates import load_families


def task_mixture(start: Start, dataset: Dataset, config: FineTuneConfig) -> TaskMixture:
    """Return the recipe's mixture of tasks.

    Raises:
        TaskError: a task is unknown, or the dataset lacks what it is made of.
        PromptError: the tokenizer cannot read the words of a prompt.
        FineTuningError: the longest seqrec prompt has more tokens than the model reads.
    """
    families = None if config.templates is None else load_families(Path(config.templates))
    mixture = TaskMixture(
        dataset,
        start.tokenizer,
        start.text,
        tasks=config.tasks,
        max_items=config.max_items,
        every_target=config.every_target,
        vary=config.vary,
        weights=config.task_weights,
        families=families,
    )
    longest = getattr(start.model.config, "max_position_embeddings", None)
    if longest is not None and mixture.prompt.max_tokens > longest:
        raise FineTuningError(
            f"a prompt of {config.max_items} items and the item behind it have {mixture.prompt.max_tokens} tokens, the "
            f"model reads {longest} (max_position_embeddings). Lower max_items, or shorten the words."
        )
    return mixture
