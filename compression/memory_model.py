"""What memory a compression needs at its peak, in named parts, from shapes alone: no weight is looked at.

Blocks are worked on one at a time and a block's groups one after the other, so the peak is the weights that are held,
the hidden states of the calibration sequences, and the widest group's moments with what is computed from them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from compression.allocation import Shape
from compression.config import CompressionConfig
from compression.lowrank import GROUPS, PROJECTIONS, ProjectionGroup

_RUNTIME_BYTES = 370 << 20
"""Python with torch and transformers, before a model is there (measured on Linux x86-64: 368 MiB)."""

_DOUBLE = 8


class MemoryEstimate(msgspec.Struct, frozen=True):
    """Bytes by what they are for.

    Attributes:
        runtime: the process without a model.
        resident: weights that stay through the run.
        block: the largest block as it was, and the copy whose projections are replaced.
        activations: hidden states of all calibration sequences, behind the dense and behind the compressed blocks.
        statistics: float64 moments of the group of projections with the widest inputs.
        temporaries: what is computed from a batch and from the moments beside them.
    """

    runtime: int
    resident: int
    block: int
    activations: int
    statistics: int
    temporaries: int

    @property
    def peak(self) -> int:
        """All of it."""
        return self.runtime + self.resident + self.block + self.activations + self.statistics + self.temporaries


def estimate_memory(
    shapes: Mapping[str, Shape],
    config: CompressionConfig,
    *,
    positions: int,
    batch_positions: int,
    weight_bytes: int = 4,
    resident_bytes: int = 0,
) -> MemoryEstimate:
    """Return what a compression needs at its peak.

    Args:
        shapes: (m, n) of every dense projection by full module name.
        config: what is to be done; ranks are left out, since factors are smaller than the matrix they replace.
        positions: of all calibration batches, padding included.
        batch_positions: of the largest batch, padding included.
        weight_bytes: of one weight as it is computed with.
        resident_bytes: weights held through the whole run: none where blocks are streamed from disk, else the model.
    """
    blocks: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        block, projection = _split(name)
        blocks.setdefault(block, {})[projection] = shape
    largest = max(blocks.values(), key=lambda block: sum(rows * columns for rows, columns in block.values()))
    hidden = largest["self_attn.q_proj"][1]
    parts = [_group_parts(group, largest, hidden, config, batch_positions) for group in GROUPS]
    statistics, temporaries = max(parts, key=sum)
    return MemoryEstimate(
        runtime=_RUNTIME_BYTES,
        resident=resident_bytes,
        block=2 * weight_bytes * sum(rows * columns for rows, columns in largest.values()),
        activations=2 * weight_bytes * positions * hidden,
        statistics=statistics,
        temporaries=temporaries,
    )


def _split(name: str) -> tuple[str, str]:
    """Return the block and the projection of a full module name."""
    projection = next(one for one in PROJECTIONS if name.endswith(f".{one}"))
    return name.removesuffix(f".{projection}"), projection


def _group_parts(
    group: ProjectionGroup, block: Mapping[str, Shape], hidden: int, config: CompressionConfig, batch_positions: int
) -> tuple[int, int]:
    """Return the bytes of a group's moments, and the most that is computed beside them."""
    inputs = block[group.projections[0]][1]
    square = inputs * inputs
    moments = (2 if config.alignment == "free" else 3) * square
    if config.residual_targets and group.residual is not None:
        moments += hidden * inputs
    # A batch's inputs in both streams and their product; then the sums once more, divided by the tokens.
    collecting = max(square + 2 * batch_positions * inputs, moments)
    whitening = 3 * square  # the shrunk covariance, the eigenvalue routine's copy, the triangle
    rows = max(block[name][0] for name in group.projections)
    smaller = min(rows, inputs)
    # Triangle and ridged covariance; weight, target, weighed target and product; the Gram matrix and its eigenvectors.
    solving = 2 * square + 4 * rows * inputs + 3 * smaller * smaller
    return _DOUBLE * moments, _DOUBLE * max(collecting, whitening, solving)
