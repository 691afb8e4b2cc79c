"""What memory a compression needs at its peak, in named parts, from shapes alone: no weight is looked at.

Blocks are worked on one at a time and a block's groups one after the other, so the peak is the weights that are held,
the hidden states of the calibration sequences, and the widest group's moments with what is computed from them; or the
embedding, while it is read. Checked against the resident memory of real runs (docs/compression.md, "Large models").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch

from compression.allocation import Shape
from compression.checkpoint import SHARD_BYTES, empty_model
from compression.config import CompressionConfig
from compression.importance import POSITIONS_AT_ONCE
from compression.lowrank import GROUPS, PROJECTIONS, ProjectionGroup
from compression.moment_sum import ROWS_AT_ONCE, product_dtype
from compression.pipeline import dense_shapes
from compression.tensor_files import weight_files

_RUNTIME_BYTES = 440 << 20
"""Python with torch and transformers (368 MiB after the imports on Linux x86-64), their lazy parts and work space."""

_DOUBLE = 8

_COPIES = 2
"""A tensor that is read is there twice for a moment: in the file's pages, and as it is computed with."""


class MemoryEstimate(msgspec.Struct, frozen=True):
    """Bytes by what they are for.

    Attributes:
        runtime: the process without a model.
        embedding: while the calibration sequences are embedded; gone before the rest is there.
        resident: weights that stay through the run.
        block: the largest block, and the factors that replace its projections.
        activations: hidden states of all calibration sequences, behind the dense and behind the compressed blocks; what
            the widest projection reads of them too, where errors are weighed.
        statistics: float64 moments of the group of projections with the widest inputs.
        temporaries: what is computed from a batch and from the moments beside them.
        writing: the shard that is written, when all else is gone.
        importance: of the outputs, through the whole run; none where errors are not weighed.
        gradients: the whole model and what its gradients need of a batch, before the first block; none likewise.
    """

    runtime: int
    embedding: int
    resident: int
    block: int
    activations: int
    statistics: int
    temporaries: int
    writing: int = 0
    importance: int = 0
    gradients: int = 0

    @property
    def peak(self) -> int:
        """The most that is there at once."""
        blocks = self.block + self.statistics + self.temporaries
        compressing = self.activations + max(self.embedding, blocks)
        return self.runtime + self.importance + max(self.gradients, self.resident + max(compressing, self.writing))


def estimate_memory(
    shapes: Mapping[str, Shape],
    config: CompressionConfig,
    *,
    positions: int,
    batch_positions: int,
    weight_bytes: int = 4,
    stored_bytes: float = 4,
    resident_bytes: int = 0,
    embedding: Shape = (0, 0),
) -> MemoryEstimate:
    """Return what a compression needs at its peak.

    Args:
        shapes: (m, n) of every dense projection by full module name.
        config: what is to be done; of ranks only the keep ratio counts.
        positions: of all calibration batches, padding included.
        batch_positions: of the largest batch, padding included.
        weight_bytes: of one weight as it is computed with.
        stored_bytes: of one weight as it is stored.
        resident_bytes: weights held through the whole run: none where blocks are streamed from disk, else the model.
        embedding: (vocabulary, hidden), where blocks are streamed.
    """
    blocks: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        block, projection = _split(name)
        blocks.setdefault(block, {})[projection] = shape
    largest = max(blocks.values(), key=lambda block: sum(rows * columns for rows, columns in block.values()))
    hidden = largest["self_attn.q_proj"][1]
    parts = [_group_parts(group, largest, hidden, config, batch_positions, weight_bytes) for group in GROUPS]
    statistics, temporaries = max(parts, key=sum)
    weights = sum(rows * columns for rows, columns in largest.values())
    widest = max(columns for _, columns in largest.values())
    return MemoryEstimate(
        runtime=_RUNTIME_BYTES,
        embedding=_COPIES * weight_bytes * embedding[0] * embedding[1],
        resident=resident_bytes,
        block=int((1 + config.keep_ratio) * weight_bytes * weights),
        activations=weight_bytes * positions * (2 * hidden + (widest if config.weigh_outputs else 0)),
        statistics=statistics,
        temporaries=temporaries,
        writing=0
        if resident_bytes
        else _COPIES * min(SHARD_BYTES, int(stored_bytes * _after(shapes, config, embedding))),
        importance=_DOUBLE * sum(rows * rows for rows, _ in shapes.values()) if config.weigh_outputs else 0,
        gradients=_gradients(shapes, config, min(batch_positions, POSITIONS_AT_ONCE), embedding)
        if config.weigh_outputs
        else 0,
    )


def checkpoint_memory(
    folder: Path, config: CompressionConfig, *, positions: int, batch_positions: int
) -> MemoryEstimate:
    """Return what a compression of a model on disk needs at its peak; no weight is looked at.

    Args:
        folder: of the dense model.
        config: as `estimate_memory` takes it, like the others.
        positions: of all calibration batches.
        batch_positions: of the largest batch.

    Raises:
        CheckpointError: a file is missing or damaged.
        UnsupportedModelError: the model is not of the LLaMA family.
    """
    model = empty_model(folder)
    stored = sum(file.stat().st_size for file in weight_files(folder))
    return estimate_memory(
        dense_shapes(model),
        config,
        positions=positions,
        batch_positions=batch_positions,
        stored_bytes=stored / sum(parameter.numel() for parameter in model.parameters()),
        embedding=tuple(model.model.embed_tokens.weight.shape),
    )


def _split(name: str) -> tuple[str, str]:
    """Return the block and the projection of a full module name."""
    projection = next(one for one in PROJECTIONS if name.endswith(f".{one}"))
    return name.removesuffix(f".{projection}"), projection


def _group_parts(
    group: ProjectionGroup,
    block: Mapping[str, Shape],
    hidden: int,
    config: CompressionConfig,
    batch_positions: int,
    weight_bytes: int,
) -> tuple[int, int]:
    """Return the bytes of a group's moments, and the most that is computed beside them."""
    inputs = block[group.projections[0]][1]
    rows = (sum if config.shared_inputs else max)(block[name][0] for name in group.projections)
    square = inputs * inputs
    if group.residual is None:
        moments = 3 * square  # dense, shifted and cross
    else:
        moments = (1 if config.alignment == "free" else 2) * square + rows * inputs
    widest = max(columns for _, columns in block.values())
    # A batch in the wider half: what its activation takes and gives, in both streams, and the residual stream.
    running = batch_positions * (5 * widest + 6 * hidden) * weight_bytes
    converting = min(batch_positions, ROWS_AT_ONCE) * (inputs + max(rows, inputs)) * _DOUBLE
    # The shrunk covariance and the triangle; with the eigenvectors, their routine's working space.
    whitening = (5 if config.route == "eigen" else 2) * square
    smaller = min(rows, inputs)
    # Triangle; weight, target, what is pulled, two pairs of factors, a product; Gram matrix, eigenvectors, their space.
    solving = square + 5 * rows * inputs + 4 * smaller * smaller
    if config.alignment == "free":
        solving += rows * inputs  # the target, weighed
    elif config.alignment != "none":
        solving += square  # the ridged covariance
    return _DOUBLE * moments, max(running + converting, _DOUBLE * whitening, _DOUBLE * solving)


def _after(shapes: Mapping[str, Shape], config: CompressionConfig, embedding: Shape) -> int:
    """Return the parameters of the compressed model, its head taken to be a matrix of its own."""
    return int(config.keep_ratio * sum(rows * columns for rows, columns in shapes.values())) + 2 * math.prod(embedding)


def _gradients(shapes: Mapping[str, Shape], config: CompressionConfig, positions: int, embedding: Shape) -> int:
    """Return the bytes of a float32 model, of what its backward pass keeps of a batch, and of the covariances."""
    # A projection's output and its gradient, and as much again for norms, attention and what is between.
    outputs = sum(rows for rows, _ in shapes.values())
    weights = sum(rows * columns for rows, columns in shapes.values()) + 2 * embedding[0] * embedding[1]
    # For the ranks the inputs of all blocks are summed up in the same pass, float32.
    first = {group.projections[0] for group in GROUPS}
    reads = config.allocation == "importance" and product_dtype(config.shrinkage) == torch.float32
    inputs = sum(columns * columns for name, (_, columns) in shapes.items() if _split(name)[1] in first) if reads else 0
    return 4 * (weights + 4 * outputs * positions + inputs)
