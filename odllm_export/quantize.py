"""Rounding weights to few bits: symmetric, one scale a column or a block, in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_PIECE_ENTRIES = 1 << 22
"""Matrices are rounded a few columns at a time: each step of the arithmetic makes a copy, and they are large."""


def round_columns(matrix: Float) -> tuple[NDArray[np.int8], Float]:
    """Return int8 weights and one scale a column: `matrix[i, j] ≈ q[i, j] · scale[j]`, |q| at most 127.

    Args:
        matrix: `[in, out]`.

    Returns:
        `[in, out]` int8 and `[out]` float32.
    """
    rounded, scales = np.empty(matrix.shape, np.int8), np.empty(matrix.shape[1], np.float32)
    for columns in _pieces(matrix):
        piece = matrix[:, columns]
        scale = np.abs(piece).max(axis=0, initial=0.0) / np.float32(127)
        scales[columns] = np.where(scale > 0, scale, 1)
        rounded[:, columns] = np.round(piece / scales[columns])
    return rounded, scales


def round_blocks(matrix: Float, bits: int, block: int) -> tuple[NDArray[np.uint8], Float]:
    """Return the operands of MatMulNBits for `x @ matrix`: blocks of one column's inputs share a scale.

    The middle of the range is the zero point (the operator's default): 8 of 0 … 15, 128 of 0 … 255. With 3 and 4 bits
    the entry of largest magnitude becomes exactly the end that has one more step, whichever its sign.

    Args:
        matrix: `[in, out]`.
        bits: 3, 4 or 8; with 3 each weight has a byte of its own, as no operator takes them.
        block: inputs that share a scale, a power of two from 16.

    Returns:
        `[out, blocks, block]` uint8, or half as many with 4 bits (low half first), and `[out, blocks]` float32 scales.
    """
    inputs, outputs = matrix.shape
    blocks = -(-inputs // block)
    rounded = np.empty((outputs, blocks, block // 2 if bits == 4 else block), np.uint8)
    scales = np.empty((outputs, blocks), np.float32)
    for columns in _pieces(matrix):
        padded = np.zeros((columns.stop - columns.start, blocks * block), np.float32)
        padded[:, :inputs] = matrix[:, columns].T
        rounded[columns], scales[columns] = _round_rows(padded.reshape(-1, blocks, block), bits)
    return rounded, scales


def _round_rows(grouped: Float, bits: int) -> tuple[NDArray[np.uint8], Float]:
    """Return what `round_blocks` returns of `[out, blocks, block]`."""
    zero, top = 1 << (bits - 1), (1 << bits) - 1
    largest = np.take_along_axis(grouped, np.abs(grouped).argmax(axis=2)[..., None], axis=2)
    scale = largest / np.float32(-zero) if bits < 8 else np.abs(largest) / np.float32(zero - 1)
    scale = np.where(scale != 0, scale, 1).astype(np.float32)
    rounded: NDArray[np.uint8] = np.clip(np.round(grouped / scale) + zero, 0, top).astype(np.uint8)
    if bits == 4:
        rounded = np.bitwise_or(rounded[:, :, 0::2], np.left_shift(rounded[:, :, 1::2], np.uint8(4)))
    return rounded, scale[:, :, 0]


def _pieces(matrix: Float) -> Iterator[slice]:
    """Yield the columns of a matrix, a few at a time."""
    inputs, outputs = matrix.shape
    width = max(1, _PIECE_ENTRIES // max(1, inputs))
    return (slice(start, min(start + width, outputs)) for start in range(0, outputs, width))


def balance(input_factor: Float, output_factor: Float) -> tuple[Float, Float]:
    """Return the same product with each component's norm shared equally between its two factors.

    A factorization leaves the singular values on one side: components of that side differ by orders of magnitude,
    and what is rounded or stored in half precision with a common scale loses the small ones.

    Args:
        input_factor: `[rank, in]`.
        output_factor: `[out, rank]`.
    """
    left = np.linalg.norm(output_factor, axis=0)
    right = np.linalg.norm(input_factor, axis=1)
    used = (left > 0) & (right > 0)
    scale = np.sqrt(np.divide(left, right, out=np.ones_like(left), where=used))
    scale = np.where(used, scale, 1).astype(np.float32)
    return input_factor * scale[:, None], output_factor / scale


def restore_columns(rounded: NDArray[Any], scale: Float) -> Float:
    """Return what `round_columns` stands for."""
    return rounded.astype(np.float32) * scale


def restore_blocks(rounded: NDArray[np.uint8], scale: Float, bits: int, inputs: int) -> Float:
    """Return the `[in, out]` matrix that `round_blocks` stands for."""
    if bits == 4:
        halves = np.stack([rounded & 15, rounded >> 4], axis=-1)
        rounded = halves.reshape(*rounded.shape[:2], -1)
    values = (rounded.astype(np.float32) - np.float32(1 << (bits - 1))) * scale[:, :, None]
    return np.ascontiguousarray(values.reshape(len(values), -1)[:, :inputs].T)
