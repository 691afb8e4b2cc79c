"""How long a compression takes, as a class: from the arithmetic that shapes and calibration ask for."""

from __future__ import annotations

from collections.abc import Mapping

from compression.config import CompressionConfig
from compression.costs import Shape
from compression.lowrank import GROUPS

CORE_FLOPS = 2e10
"""Double-precision operations a second of one CPU core, large products and eigenvalue routines taken together."""

_FORWARDS = 1
"""Passes of a block, in double precision's cost: one of the dense block and nearly two of the half-size compressed one,
in single precision, which is twice as fast."""

_EIGEN = 12
"""Operations of a symmetric eigendecomposition with vectors, by the cube of the size."""

_CLASSES = ((60, "less than a minute"), (600, "minutes"), (3600, "tens of minutes"), (86400, "hours"))


def estimate_flops(shapes: Mapping[str, Shape], config: CompressionConfig, *, tokens: int) -> float:
    """Return the floating-point operations of a compression over `tokens` calibration tokens."""
    total = 0.0
    outputs = {name for group in GROUPS if group.residual is not None for name in group.projections}
    shared = {name for group in GROUPS for name in group.projections[1:]}
    for name, (rows, columns) in shapes.items():
        projection = ".".join(name.rsplit(".", 2)[-2:])
        total += _FORWARDS * 2 * tokens * rows * columns
        smaller = min(rows, columns)
        # Weighing by a triangle and back, the Gram matrix, its eigenvectors; once without alignment and once with.
        total += 2 * (4 * rows * columns * columns + 2 * rows * columns * smaller + _EIGEN * smaller**3)
        if projection in shared:  # its group's inputs were counted with the group's first projection
            continue
        moments = 2.0 * columns * columns  # dense and shifted, of which half is computed, and cross
        if projection in outputs:
            moments = (0.5 if config.alignment == "free" else 1) * columns * columns + rows * columns
        total += 2 * tokens * moments + _EIGEN * columns**3
    return total


def time_class(flops: float, threads: int = 1) -> str:
    """Return the class of time that a number of operations takes on this many cores, in words."""
    seconds = flops / (CORE_FLOPS * threads)
    return next((words for limit, words in _CLASSES if seconds < limit), "days")
