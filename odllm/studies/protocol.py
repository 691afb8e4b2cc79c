"""The protocol that all cells of a study share: which users are asked for which item, and how lists are searched.

Leave-one-out over the full catalogue (`lcrec.evaluate`), search in torch under the trie with `codes` scoring.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import MIN_INTERACTIONS, Dataset
from odllm.studies.errors import StudyError


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Attributes:
        users: drawn, at most; 0 asks all.
        user_seed: of that choice. Seed 0 draws the users that `odllm evaluate --users` draws.
        least_interactions: users with fewer are left out.
        num_beams: of the search.
        constraint: of the search.
        scoring: of the search.
    """

    users: int = 5000
    user_seed: int = 0
    least_interactions: int = MIN_INTERACTIONS
    num_beams: int = 20
    constraint: str = "trie"
    scoring: str = "codes"


def draw_users(dataset: Dataset, protocol: Protocol) -> NDArray[np.int64]:
    """Return the rows of the users who are asked, ascending.

    Raises:
        StudyError: no user has enough interactions.
    """
    lengths = np.array([len(sequence) for sequence in dataset.sequences])
    able = np.flatnonzero(lengths >= protocol.least_interactions)
    if not len(able):
        raise StudyError(
            f"no user of {dataset.name} has {protocol.least_interactions} interactions; the longest history has "
            f"{lengths.max(initial=0)}. Ask for fewer steps."
        )
    if not 0 < protocol.users < len(able):
        return able
    return np.sort(np.random.default_rng(protocol.user_seed).choice(able, protocol.users, replace=False))


def ask(
    dataset: Dataset, users: NDArray[np.integer], step: int = 1
) -> tuple[Sequence[NDArray[np.int32]], NDArray[np.int32]]:
    """Return histories and targets: every user's `step`-th item from the end, given everything before it."""
    sequences = [dataset.sequences[user] for user in users]
    return [sequence[:-step] for sequence in sequences], np.array([sequence[-step] for sequence in sequences], np.int32)
