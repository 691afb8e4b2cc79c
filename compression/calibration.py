"""Calibration batches: the token sequences whose activations decide what a rank may forget."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from compression.errors import CalibrationError


@dataclass(frozen=True)
class CalibrationBatch:
    """Token sequences, padded on either side.

    Attributes:
        input_ids: `[batch, tokens]`, int64.
        attention_mask: `[batch, tokens]`, 1 where there is a token, 0 where there is padding.
        position_ids: `[batch, tokens]`, int64; None counts the tokens of each row, padding left out, as
            decoding does.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor | None = None

    def positions(self) -> torch.Tensor:
        """Position of every token `[batch, tokens]`, int64."""
        if self.position_ids is not None:
            return self.position_ids
        return (self.attention_mask.long().cumsum(dim=1) - 1).clamp_min(0)

    @property
    def tokens(self) -> int:
        """How many positions are not padding."""
        return int(self.attention_mask.sum())

    def split(self, positions: int) -> list[CalibrationBatch]:
        """Return the rows in parts of at most so many positions, padding included, or of one row."""
        count = max(positions // max(self.input_ids.shape[1], 1), 1)
        parts = zip(
            self.input_ids.split(count), self.attention_mask.split(count), self.positions().split(count), strict=True
        )
        return [CalibrationBatch(*part) for part in parts]

    def to(self, device: torch.device) -> CalibrationBatch:
        """Return the batch on another device."""
        positions = None if self.position_ids is None else self.position_ids.to(device)
        return CalibrationBatch(self.input_ids.to(device), self.attention_mask.to(device), positions)


def check_batches(batches: Sequence[CalibrationBatch], vocabulary: int) -> int:
    """Check calibration batches and return how many tokens they hold, padding left out.

    Raises:
        CalibrationError: there is none, a shape is wrong, or a token id is outside the vocabulary.
    """
    for number, batch in enumerate(batches):
        shape = batch.input_ids.shape
        others = [batch.attention_mask, *([] if batch.position_ids is None else [batch.position_ids])]
        if len(shape) != 2 or any(other.shape != shape for other in others):
            raise CalibrationError(
                f"calibration batch {number}: input_ids are {list(shape)} beside "
                f"{[list(other.shape) for other in others]}; expected [batch, tokens] for all. "
                "Pad the sequences."
            )
        _check_ids(batch, number, vocabulary)
    tokens = sum(batch.tokens for batch in batches)
    if not tokens:
        raise CalibrationError(
            f"no calibration data: {len(batches)} batches hold no token. Give sequences of training users."
        )
    return tokens


def _check_ids(batch: CalibrationBatch, number: int, vocabulary: int) -> None:
    ids = batch.input_ids
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary:
        raise CalibrationError(
            f"calibration batch {number} holds token ids {int(ids.min())} to {int(ids.max())}; the model "
            f"knows 0 to {vocabulary - 1}. Use the prompt and item codes that the model was trained with."
        )


def hash_batches(batches: Sequence[CalibrationBatch]) -> str:
    """Return a SHA-256 over the ids, masks and positions of all batches, in order."""
    digest = hashlib.sha256()
    for batch in batches:
        for tensor in (batch.input_ids, batch.attention_mask, batch.positions()):
            digest.update(f"{list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().to(torch.int64).contiguous().numpy().tobytes())
    return digest.hexdigest()
