"""Hashes of what decides a run: one run's checkpoint is not taken up by another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from lcrec.dataset import Dataset
from lcrec.finetune.config import FineTuneConfig
from odllm_artifact import sha256_file

_FREE = ("checkpoint_minutes", "keep_adapter")
"""Options that change nothing of what is learned."""

_SAMPLED = 64
"""Values of every weight that its hash reads: they tell bases apart without reading gigabytes."""


def origin_of(model: Any, dataset: Dataset, config: FineTuneConfig) -> dict[str, str]:
    """Return hashes of the base's weights, of the data and of the recipe, by what they are of."""
    recipe = {name: value for name, value in msgspec.to_builtins(config).items() if name not in _FREE}
    if config.templates is not None:  # their words, wherever they lie
        recipe["templates"] = sha256_file(Path(config.templates))
    return {"base": _weights_hash(model), "dataset": _dataset_hash(dataset), "recipe": _hash(recipe)}


def _hash(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()


def _dataset_hash(dataset: Dataset) -> str:
    digest = hashlib.sha256(msgspec.json.encode([dataset.items, dataset.users, dataset.user_texts]))
    for array in (dataset.require_codes().codes, *dataset.sequences):
        digest.update(array.tobytes())
    return digest.hexdigest()


def _weights_hash(model: Any) -> str:
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        values = weight.detach().flatten()
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(values[:: max(len(values) // _SAMPLED, 1)].float().cpu().numpy().tobytes())
    return digest.hexdigest()
