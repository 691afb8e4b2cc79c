"""Validations of a fine-tuning: the loss on users' validation items, and NDCG by constrained search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from lcrec import metrics
from lcrec.dataset import Dataset
from lcrec.errors import FineTuningError
from lcrec.evaluate import Share, dataset_catalog, evaluate, model_ranker
from lcrec.finetune.assembly import Parts
from lcrec.finetune.batches import pad, plan_epoch, share_of
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.devices import is_sharded
from lcrec.finetune.response_loss import on_device
from lcrec.finetune.stepping import learned_tokens
from lcrec.prompt import Prompt
from lcrec.tasks.encoding import EncodedSample
from lcrec.tasks.mixture import TaskMixture

Judge = Callable[[], dict[str, float]]
"""Validates the model as it is; called by every process, returns the same in all."""


def make_judge(
    parts: Parts, mixture: TaskMixture, dataset: Dataset, config: FineTuneConfig, accelerator: Accelerator
) -> Judge:
    """Return what validates a run: always the loss, and NDCG@10 where the recipe stops by it.

    Raises:
        FineTuningError: NDCG was asked for and the model is sharded.
    """
    by_ndcg = config.metric == "ndcg"
    if by_ndcg and is_sharded(accelerator):
        raise FineTuningError("metric: ndcg needs the whole model on every device; under FSDP take metric: loss")
    held_out = mixture.validation(config.validation_users)

    def judge() -> dict[str, float]:
        parts.loss.eval()
        found = {"loss": validation_loss(parts.loss, held_out, config, accelerator)}
        if by_ndcg:
            found["ndcg@10"] = validation_ndcg(parts, mixture.prompt, dataset, config.validation_users, accelerator)
        return found

    return judge


def validation_loss(
    loss: nn.Module, samples: Sequence[EncodedSample], config: FineTuneConfig, accelerator: Accelerator
) -> float:
    """Return the mean surprise at the validation items' tokens in nats; every process computes its share."""
    plan = plan_epoch([len(sample.ids) for sample in samples], config, 0)
    batches = [[samples[i] for i in batch] for step in plan.steps for batch in step]
    total = torch.zeros((), device=accelerator.device)
    with torch.no_grad():
        for batch in share_of(batches, accelerator.num_processes, accelerator.process_index):
            total += loss(*on_device(pad(batch), accelerator.device))
    return float(accelerator.reduce(total, "sum")) / max(learned_tokens(batches), 1)


def validation_ndcg(parts: Parts, prompt: Prompt, dataset: Dataset, users: int, accelerator: Accelerator) -> float:
    """Return NDCG@10 of the first `users` users' validation items, each process searching for its share."""
    split, codes = dataset.split(), dataset.require_codes().codes
    ranker = model_ranker(parts.plain.model, prompt, dataset_catalog(dataset))
    share = Share(accelerator.process_index, accelerator.num_processes, lambda part: gather_object([part]))
    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=parts.in_bfloat16):
        found = evaluate(ranker, split.validation_history[:users], split.validation_target[:users], codes, share=share)
    return float(np.mean(metrics.ndcg(found.ranks, 10)))
