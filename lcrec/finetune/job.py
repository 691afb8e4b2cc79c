"""What is to be fine-tuned, on what, how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lcrec.dataset import Dataset
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.learning import require_peft
from lcrec.finetune.preflight import check_samples
from lcrec.finetune.samples import task_mixture
from lcrec.finetune.starting import CheckFamily, Start, start_from
from lcrec.sampling import sample_users
from lcrec.tasks.mixture import TaskMixture
from lcrec.tasks.templates import load_families


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be fine-tuned.

    Attributes:
        base: name or folder of a pretrained model, or of a recommender of the same codes.
        dataset: with item codes.
        config: the recipe.
        check: refuses families that cannot be deployed.
    """

    base: str
    dataset: Dataset
    config: FineTuneConfig
    check: CheckFamily

    def start(self, *, weights: bool = True) -> Start:
        """Load the base; see `start_from`."""
        sizes = self.dataset.require_codes().sizes
        config = self.config
        families = None if config.templates is None else load_families(Path(config.templates))
        return start_from(
            self.base,
            sizes,
            text=config.prompt_text,
            families=families,
            seed=config.seed,
            check=self.check,
            weights=weights,
        )


@dataclass(frozen=True, eq=False)
class Material:
    """What a job works with.

    Attributes:
        dataset: of the users that are learned from.
        start: the model and the tokenizer.
        mixture: draws the samples.
    """

    dataset: Dataset
    start: Start
    mixture: TaskMixture


def gather(job: Job, *, weights: bool = True) -> Material:
    """Read all that a job works with, and check that it fits together.

    Args:
        job: what is to be done.
        weights: without, the base's shape only is read.

    Raises:
        FineTuningError: the base or the recipe does not fit, or PEFT is missing.
        DatasetError: there are fewer users than asked for.
        ItemCodesError: the dataset has no codes, or the base speaks others.
        TaskError: a task cannot be made of this dataset.
        PromptError: the tokenizer cannot read the words of a prompt.
        ModelError: the base cannot be read.
    """
    config = job.config
    require_peft(config)
    dataset = job.dataset if config.users is None else sample_users(job.dataset, config.users, config.seed)
    start = job.start(weights=weights)
    mixture = task_mixture(start, dataset, config)
    check_samples(mixture, start.model.config, config)
    return Material(dataset, start, mixture)
