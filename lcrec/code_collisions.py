"""Gives every item a code of its own, where there is room for it, at the least cost in likeness.

Items that share all their codes cannot be told apart by the model. In three steps, each only for the items that
the one before could not serve:

1. Within the items that share all but the last code, the last codes are dealt out anew, each at most once, so
   that the sum of squared distances to their centres is smallest (linear assignment).
2. An item that found its last level full takes the next nearest code at the level above, then at the level above
   that, and so on, with the nearest codes below it.
3. If all those are full too, it takes any path that has room.

What is left shares a code; that happens only when there are more items than codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lcrec.items import Int32
from lcrec.residual_kmeans import Float32, Quantization

Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Resolution:
    """Codes after the collisions were resolved.

    Attributes:
        codes: int32 `[items, levels]`.
        last_code_changed: items that got another last code than the nearest.
        moved: items that got another code above the last level.
    """

    codes: Int32
    last_code_changed: int
    moved: int


def resolve_collisions(quantization: Quantization, width: int) -> Resolution:
    """Return codes in which items share a code only where there are more items than codes.

    Args:
        quantization: nearest codes and their centres.
        width: codes at every level; centres may be fewer.
    """
    dealer = _Dealer(quantization, width)
    homeless = [row for rows in _colliding_groups(quantization.codes) for row in dealer.deal(rows)]
    for row in homeless:
        dealer.move(row)
    before, after = quantization.codes, dealer.codes
    moved = (before[:, :-1] != after[:, :-1]).any(axis=1)
    changed = ~moved & (before[:, -1] != after[:, -1])
    return Resolution(after, last_code_changed=int(changed.sum()), moved=int(moved.sum()))


def place_new(quantization: Quantization, width: int, taken: Int32) -> Int32:
    """Return codes of new items, int32 `[items, levels]`; the items that have codes keep theirs.

    A new item gets its nearest codes, or if an item has them the nearest last code that is free, or if all last codes
    are taken the nearest path that has room. Only when every path is taken it shares its nearest codes.

    Args:
        quantization: nearest codes of the new items, in the order in which they are placed.
        width: codes at every level.
        taken: int32 `[known items, levels]`.
    """
    dealer = _Dealer(quantization, width)
    dealer.taken.clear()
    for *path, last in taken.tolist():
        dealer.taken.setdefault(tuple(path), set()).add(last)
    for row, (*path, last) in enumerate(quantization.codes.tolist()):
        below = dealer.taken.setdefault(tuple(path), set())
        if last in below:
            dealer.move(row)
        else:
            below.add(last)
    return dealer.codes


def _colliding_groups(codes: Int32) -> list[NDArray[np.int64]]:
    """Return the rows of each group that shares all but the last code and has a collision within."""
    _, prefix = np.unique(codes[:, :-1], axis=0, return_inverse=True)
    prefix = prefix.reshape(-1)
    order = np.argsort(prefix, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(prefix[order])) + 1)
    return [rows for rows in groups if len(np.unique(codes[rows, -1])) < len(rows)]


class _Dealer:
    """Keeps which last codes are taken below every prefix."""

    def __init__(self, quantization: Quantization, width: int) -> None:
        self.quantization = quantization
        self.width = width
        self.levels = len(quantization.centers)
        self.codes = quantization.codes.copy()
        self.taken: dict[Prefix, set[int]] = {}
        for *prefix, last in self.codes.tolist():
            self.taken.setdefault(tuple(prefix), set()).add(last)
        self.full = False

    def deal(self, rows: NDArray[np.int64]) -> list[int]:
        """Deal the last codes of one prefix out anew; return the rows that found none."""
        from scipy.optimize import linear_sum_assignment

        prefix = self.codes[rows[0], :-1]
        residuals = self.quantization.residual(rows, np.tile(prefix, (len(rows), 1)))
        served, last = linear_sum_assignment(self._last_costs(residuals))
        self.codes[rows[served], -1] = last
        self.taken[tuple(prefix.tolist())] = set(last.tolist())
        return np.delete(rows, served).tolist()

    def move(self, row: int) -> None:
        """Give one item the nearest path that has room; leave it where it is if there is none."""
        if self.full:
            return
        for prefix in self._prefixes(row):
            taken = self.taken.setdefault(prefix, set())
            if len(taken) < self.width:
                costs = self._costs_below(row, prefix)
                costs[list(taken)] = np.inf
                last = int(costs.argmin())
                taken.add(last)
                self.codes[row] = (*prefix, last)
                return
        self.full = True  # every path there is was tried

    def _prefixes(self, row: int) -> Iterator[Prefix]:
        """Yield paths without the last code: next nearest codes from the bottom up, then any."""
        here = tuple(self.codes[row, :-1].tolist())
        for level in range(self.levels - 2, -1, -1):
            for code in self._by_distance(row, here[:level]):
                yield self._descend(row, (*here[:level], code))
        yield from product(range(self.width), repeat=self.levels - 1)

    def _descend(self, row: int, path: Prefix) -> Prefix:
        """Lengthen a path by the nearest code at each level until only the last is missing."""
        while len(path) < self.levels - 1:
            path = (*path, self._by_distance(row, path)[0])
        return path

    def _by_distance(self, row: int, path: Prefix) -> list[int]:
        """Return the codes of the level below `path`, nearest first."""
        residual = self.quantization.residual(row, np.array(path, dtype=np.int64))
        distance = ((self.quantization.centers[len(path)] - residual) ** 2).sum(axis=1)
        return np.argsort(distance, kind="stable").tolist()

    def _costs_below(self, row: int, prefix: Prefix) -> NDArray[np.float64]:
        """Return `[width]` costs of the last codes; a path through a code without a centre has no preference."""
        sizes = [len(level) for level in self.quantization.centers[:-1]]
        if any(code >= size for code, size in zip(prefix, sizes, strict=True)):
            return np.zeros(self.width)
        return self._last_costs(self.quantization.residual(np.array([row]), np.array([prefix])))[0]

    def _last_costs(self, residuals: Float32) -> NDArray[np.float64]:
        """Return `[rows, width]` squared distances to the last centres; codes without a centre come after all."""
        centers = self.quantization.centers[-1]
        distance = ((residuals[:, None, :] - centers[None, :, :]) ** 2).sum(axis=2)
        costs = np.full((len(residuals), self.width), float(distance.max()) + 1.0)
        costs[:, : len(centers)] = distance
        return costs
