"""A model folder as the teacher of a training: `lcrec` trains, and only `compression` reads factored folders."""

from __future__ import annotations

from pathlib import Path

from compression.checkpoint import load_model
from lcrec.objective import Teacher
from lcrec.prompt import read_card
from odllm_artifact import sha256_folder


def load_teacher(folder: Path, weight: float) -> Teacher:
    """Return the recommender of a folder as a teacher.

    Raises:
        CompressionError: the model is damaged.
        PromptError: the folder is no recommender.
        ModelError: the weight is out of range.
    """
    return Teacher(load_model(folder), read_card(folder).prompt, sha256_folder(folder), weight)
