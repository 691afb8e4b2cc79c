"""Assignments that use all codes about equally: entropic optimal transport between vectors and codes.

Source: Cuturi 2013, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport"; for item codes, Zheng et al.
2024 (LC-Rec), which assigns the last level so.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALLEST = 1e-300
"""Instead of zero, where a number has become too small to be one."""

_EQUAL = 1e-3
"""Shares that differ by less, relatively, count as equal."""


@torch.no_grad()
def sinkhorn_assign(distance: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Return int64 `[vectors]`: the code that gets most of each vector when every code must get the same share.

    Distances are first scaled to -1 … 1, so that epsilon means the same for any codebook. Where there are fewer vectors
    than codes a vector has many codes for itself alone, all equally much: the nearest of those is taken, where the
    first would be any.

    Args:
        distance: `[vectors, codes]` squared distances.
        epsilon: how much evenness counts beside nearness; LC-Rec has 0.003.
        iterations: alternations between rows and columns.
    """
    distance = distance.double()
    highest, lowest = distance.max(), distance.min()
    scaled = (distance - (highest + lowest) / 2) / ((highest - lowest) / 2 + 1e-5)
    # A factor a row changes nothing; with it the largest entry of a row is one and the smallest still a number.
    kernel = torch.exp((scaled.amin(dim=1, keepdim=True) - scaled) / epsilon)
    column = kernel.new_ones(kernel.shape[1])
    for _ in range(iterations):
        row = 1 / (kernel @ column).clamp_min(_SMALLEST)
        column = 1 / (row @ kernel).clamp_min(_SMALLEST)
    shares = kernel * column
    most = shares >= (1 - _EQUAL) * shares.amax(dim=1, keepdim=True)
    return torch.where(most, distance, torch.inf).argmin(dim=1)
