"""Collision resolution as LC-Rec has it: items that share all codes get another last code, by Sinkhorn, in rounds.

Unlike there, last codes that other items of the same first codes have are left out: a round cannot make new collisions.
Items of equal vectors are equally near to every code and stay together; `lcrec.code_collisions` parts those too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lcrec.items import Int32, ItemCodes
from lcrec.residual_kmeans import Quantization
from lcrec.rqvae.model import squared_distances
from lcrec.rqvae.sinkhorn import sinkhorn_assign

ROUNDS = 20
"""Rounds at most; LC-Rec's number."""


@dataclass(frozen=True)
class SinkhornRounds:
    """What the rounds did.

    Attributes:
        quantization: with the codes after them.
        rounds: how many changed something.
        changed: items that got another last code.
    """

    quantization: Quantization
    rounds: int
    changed: int


def resolve_by_sinkhorn(quantization: Quantization, width: int, epsilon: float, iterations: int) -> SinkhornRounds:
    """Re-encode every group of items that share a code with Sinkhorn at the last level, until nothing changes.

    Args:
        quantization: nearest codes and their centres.
        width: codes a level.
        epsilon: of Sinkhorn.
        iterations: of Sinkhorn.
    """
    codes = quantization.codes.copy()
    everyone = np.arange(len(codes))
    left = torch.from_numpy(quantization.residual(everyone, codes[:, :-1]))
    centers = torch.from_numpy(quantization.centers[-1])
    rounds = 0
    while rounds < ROUNDS:
        before = codes.copy()
        for group in ItemCodes(codes, (width,) * codes.shape[1]).collision_groups():
            free = torch.from_numpy(_free_codes(codes, group, len(centers)))
            distance = squared_distances(left[group], centers[free])
            codes[group, -1] = free[sinkhorn_assign(distance, epsilon, iterations)].numpy()
        if (codes == before).all():
            break
        rounds += 1
    changed = int((codes[:, -1] != quantization.codes[:, -1]).sum())
    return SinkhornRounds(dataclasses.replace(quantization, codes=codes), rounds, changed)


def _free_codes(codes: Int32, group: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Return the last codes that no item outside of the group has behind the group's first codes."""
    siblings = (codes[:, :-1] == codes[group[0], :-1]).all(axis=1)
    siblings[group] = False
    return np.setdiff1d(np.arange(width), codes[siblings, -1])
