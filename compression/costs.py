"""What a projection costs, dense or at a rank, in the currency of a budget: parameters, stored bytes, or time.

Bytes and times belong to an exported graph, of which this package knows nothing: they come in from outside, as a
function of one stored matrix or as a table of measurements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec
import numpy as np

from compression.errors import ConfigError

Shape = tuple[int, int]
"""(rows m, columns n) of a dense projection."""

Currency = Literal["parameters", "bytes", "latency"]


class Costs(Protocol):
    """What matrices cost; factors never cost less at a higher rank."""

    @property
    def currency(self) -> Currency:
        """What is spent."""

    def dense(self, shape: Shape) -> float:
        """Return the cost of a dense (m, n) matrix."""

    def factored(self, shape: Shape, rank: int) -> float:
        """Return the cost of its two factors."""


@dataclass(frozen=True)
class MatrixCosts:
    """Costs that add up matrix by matrix.

    Attributes:
        currency: what is spent.
        matrix: cost of one matrix by its inputs and outputs.
    """

    currency: Currency
    matrix: Callable[[int, int], float]

    def dense(self, shape: Shape) -> float:
        """Return the cost of a dense (m, n) matrix."""
        rows, columns = shape
        return self.matrix(columns, rows)

    def factored(self, shape: Shape, rank: int) -> float:
        """Return the cost of the input factor `[rank, n]` and the output factor `[m, rank]`."""
        rows, columns = shape
        return self.matrix(columns, rank) + self.matrix(rank, rows)


PARAMETERS = MatrixCosts("parameters", lambda inputs, outputs: inputs * outputs)
"""One for every entry of a matrix."""


class MeasuredShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured costs of one shape.

    Attributes:
        shape: (m, n).
        dense: of the dense matrix.
        ranks: rising, those that were measured.
        factored: of the factors at those ranks, never falling.
    """

    shape: Shape
    dense: float
    ranks: tuple[int, ...]
    factored: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((0, *self.ranks), self.ranks, strict=False))
        falling = any(a > b for a, b in zip(self.factored, self.factored[1:], strict=False))
        if not self.ranks or not rising or falling or len(self.ranks) != len(self.factored):
            raise ConfigError(
                f"costs of shape {self.shape}: ranks must rise from 1 on, each with one cost, and costs must not fall; "
                f"found ranks {list(self.ranks)} and costs {list(self.factored)}. Measure them again."
            )
        if not all(0 < cost < float("inf") for cost in (self.dense, *self.factored)):
            raise ConfigError(f"costs of shape {self.shape} must be above 0 and finite. Measure them again.")


@dataclass(frozen=True)
class MeasuredCosts:
    """Costs measured at some ranks, with straight lines between them; above the last rank the last line goes on.

    Raises:
        ConfigError: asked for a shape that was not measured.
    """

    currency: Currency
    shapes: dict[Shape, MeasuredShape]

    def dense(self, shape: Shape) -> float:
        """Return the cost of a dense (m, n) matrix."""
        return self._of(shape).dense

    def factored(self, shape: Shape, rank: int) -> float:
        """Return the cost of its factors at a rank."""
        found = self._of(shape)
        ranks, costs = found.ranks, found.factored
        if rank > ranks[-1] and len(ranks) > 1:
            slope = (costs[-1] - costs[-2]) / (ranks[-1] - ranks[-2])
            return costs[-1] + slope * (rank - ranks[-1])
        return float(np.interp(rank, ranks, costs))

    def _of(self, shape: Shape) -> MeasuredShape:
        if shape not in self.shapes:
            raise ConfigError(
                f"the costs know no projection of {shape[0]} × {shape[1]}, only {sorted(self.shapes)}. "
                "Measure them for this model."
            )
        return self.shapes[shape]
