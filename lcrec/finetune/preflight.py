"""What can be known to go wrong before hours are spent: samples that are too long, a disk that is too small."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lcrec.errors import FineTuningError
from lcrec.finetune.config import FineTuneConfig
from lcrec.tasks.mixture import TaskMixture


def check_samples(mixture: TaskMixture, model_config: Any, config: FineTuneConfig) -> None:
    """Check that an epoch has samples, and that the model reads the longest.

    Raises:
        FineTuningError: it has none, or one is too long.
    """
    samples = mixture.epoch(config.seed * 1000)
    if not len(samples):
        raise FineTuningError("an epoch has no samples. Give a dataset with longer histories, or more users.")
    lengths, longest = samples.lengths(), getattr(model_config, "max_position_embeddings", None)
    if longest is not None and lengths.max() > longest:
        task = samples[int(np.argmax(lengths))].task
        raise FineTuningError(
            f"a sample of {task} has {lengths.max()} tokens, the model reads {longest} (max_position_embeddings). "
            "Lower max_items, or leave the task out."
        )


def check_room(folder: Path, model: nn.Module, saved_type: torch.dtype, config: FineTuneConfig) -> None:
    """Check that the disk has room for what a run keeps there.

    Raises:
        FineTuningError: it has not.
    """
    needed, free = kept_bytes(model, saved_type, config), shutil.disk_usage(folder).free
    held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if needed > free + held:
        raise FineTuningError(
            f"{folder} has {(free + held) / 1e9:.1f} GB of room; the run needs {needed / 1e9:.1f} GB for checkpoints "
            "and the model. Make room, or choose another --out."
        )


def kept_bytes(model: nn.Module, saved_type: torch.dtype, config: FineTuneConfig) -> int:
    """Return the most bytes that a run has on the disk at once: two checkpoints, two best ones, and the model."""
    learned = sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)
    state = 2 * learned if config.optimizer == "adamw" else 0
    return (
        2 * (learned + state) + 2 * learned + sum(weight.numel() for weight in model.parameters()) * saved_type.itemsize
    )
