"""What a recommender is worth on the validation items: the judges of a recovery."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from compression.calibration import CalibrationBatch
from compression.distillation import CodeLogits, among_legal, next_tokens
from compression.recovery import Judge
from lcrec.dataset import Dataset
from lcrec.evaluate import dataset_catalog, evaluate, model_ranker
from lcrec.metrics import ndcg
from lcrec.model import code_token_ids
from lcrec.prompt import Prompt
from lcrec.windows import batch_windows
from odllm.calibrating import calibration_batches, legal_choices

RANKED_USERS = 1000
"""At most so many users' validation items are searched for."""

READ_USERS = 300
"""At most so many users' validation items are read: a look at them must cost a few steps of a recovery, no more."""

BATCH = 64

TEMPERATURES = tuple(2 ** (i / 4) for i in range(-4, 7))
"""By which logits are divided: ½ to 2.8."""


def validation_ndcg(dataset: Dataset, prompt: Prompt) -> Judge:
    """Return a judge that searches for the validation items and tells NDCG@10 of every user, higher is better."""
    split, catalog, codes = dataset.split(), dataset_catalog(dataset), dataset.require_codes().codes

    def judge(model: Any) -> list[float]:
        ranker = model_ranker(model, prompt, catalog, num_beams=10)
        found = evaluate(ranker, split.validation_history[:RANKED_USERS], split.validation_target[:RANKED_USERS], codes)
        return ndcg(found.ranks, 10).tolist()

    return judge


def validation_surprise(dataset: Dataset, prompt: Prompt) -> Judge:
    """Return a judge that tells −log p of every user's validation item among all items, in nats, short histories first.

    One forward pass a user; NDCG@10 needs a search, and moves by whole ranks. The model's temperature is the one that
    suits these users best: a model that is only less sure of itself ranks no better.
    """
    split = dataset.split()
    windows = [
        np.append(history[-prompt.max_items :], target).astype(np.int32)
        for history, target in zip(
            split.validation_history[:READ_USERS], split.validation_target[:READ_USERS], strict=True
        )
    ]
    windows.sort(key=len)
    batches = calibration_batches(batch_windows(windows, dataset.require_codes().codes, prompt, BATCH))
    ids, allowed = torch.tensor(code_token_ids(prompt)), legal_choices(dataset_catalog(dataset), prompt)
    asked = [_before_the_last_item(batch, prompt.levels) for batch in batches]
    legal = [allowed(batch)[at] for batch, at in zip(batches, asked, strict=True)]

    @torch.no_grad()
    def judge(model: Any) -> list[float]:
        logits_of = CodeLogits(model, ids.to(model.device))
        found = []
        for batch, at, choices in zip(batches, asked, legal, strict=True):
            logits = logits_of(batch.to(model.device), at.to(model.device)).cpu()
            labels = next_tokens(batch, ids, model.config.vocab_size)[at[batch.attention_mask.bool()]]
            legal_logits, _, labels = among_legal(choices, logits, logits, labels)
            found.append((legal_logits, labels))
        logits, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        surprises = [F.cross_entropy(logits / by, labels, reduction="none") for by in TEMPERATURES]
        best = min(surprises, key=lambda surprise: float(surprise.sum()))
        return best.view(-1, prompt.levels).sum(dim=1).tolist()

    return judge


def _before_the_last_item(batch: CalibrationBatch, levels: int) -> torch.Tensor:
    """Return where a code of the last item comes next, bool `[batch, tokens]`."""
    ends = batch.attention_mask.sum(dim=1, keepdim=True)
    places = torch.arange(batch.attention_mask.shape[1])
    return (places >= ends - levels - 1) & (places < ends - 1)
