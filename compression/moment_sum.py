"""Running sums of products over tokens, from which all second moments come."""

from __future__ import annotations

import torch

ROWS_AT_ONCE = 2048
"""Tokens converted to float64 at once."""

_COLUMNS = 96
"""Columns of a symmetric product computed at once: what lies below the diagonal is left out, and copied at the end."""

_ROUNDED_FROM = 5e-5


def product_dtype(shrinkage: float) -> torch.dtype:
    """Return the precision in which products over tokens may be taken; their sums are float64 always.

    Rounding to float32 changes a covariance by some 1e-7 of its mean eigenvalue, about as much as float32 inputs are
    uncertain by themselves. What adds five hundred times that to the diagonal cannot tell it; a covariance that is
    hardly shrunk would lose its smallest eigenvalues in it.

    Args:
        shrinkage: the least that will be added to the diagonal, relative to the mean eigenvalue.
    """
    return torch.float32 if shrinkage >= _ROUNDED_FROM else torch.float64


def at_least(rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return `rows` in `dtype`, or as they are where that is more precise."""
    return rows.to(torch.promote_types(rows.dtype, dtype))


class MomentSum:
    """A running float64 sum of products over tokens, `[rows, columns]`.

    Args:
        rows: of the sum.
        columns: of the sum; None for a symmetric one, of one factor.
        device: where it lies.
        dtype: of the sum; float32 takes half the memory and rounds at every addition.
    """

    def __init__(
        self, rows: int, columns: int | None, device: torch.device, dtype: torch.dtype = torch.float64
    ) -> None:
        self.symmetric = columns is None
        self.total = torch.zeros(rows, columns or rows, dtype=dtype, device=device)

    def add(self, left: torch.Tensor, right: torch.Tensor | None = None) -> None:
        """Add leftᵀ·right for rows of tokens, `[tokens, m]` and `[tokens, n]`; leftᵀ·left to a symmetric sum.

        Each product is taken in the precision of its factors: float32 where its rounding does not matter.
        """
        if right is not None:
            self._add_product(slice(None), slice(None), left, right)
            return
        for start in range(0, left.shape[1], _COLUMNS):
            part = slice(start, start + _COLUMNS)
            self._add_product(part, slice(start, None), left[:, part], left[:, start:])

    def _add_product(self, rows: slice, columns: slice, left: torch.Tensor, right: torch.Tensor) -> None:
        total = self.total[rows, columns]
        if left.dtype == total.dtype:
            total.addmm_(left.mT, right)
        else:
            total.add_(left.mT @ right)

    def mean(self, tokens: int) -> torch.Tensor:
        """Return the mean; the sum itself is used up."""
        mean = self.total.div_(tokens)
        if self.symmetric:
            for start in range(0, len(mean), _COLUMNS):
                stop = min(start + _COLUMNS, len(mean))
                corner = mean[start:stop, start:stop]
                corner.copy_(corner.triu() + corner.triu(1).mT)
                mean[stop:, start:stop] = mean[start:stop, stop:].mT
        return mean
