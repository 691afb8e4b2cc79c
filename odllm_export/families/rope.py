"""Rotary position embeddings: the frequencies of each variant, bit for bit those of transformers.

Source: transformers' `modeling_rope_utils.py`; `llama3` is Llama 3.1's reference implementation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from odllm_export.errors import UnsupportedModelError


@dataclass(frozen=True)
class Llama3Scaling:
    """How Llama 3.1 stretches its context.

    Attributes:
        factor: slow frequencies are divided by it.
        low_freq_factor: `original_positions` ÷ this is the wavelength above which a frequency is slow.
        high_freq_factor: `original_positions` ÷ this is the wavelength below which a frequency is left alone.
        original_positions: context length before the stretch.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int

    def apply(self, inverse: torch.Tensor) -> torch.Tensor:
        """Return the scaled frequencies; between slow and fast the two are blended."""
        wavelength = 2 * math.pi / inverse
        slow = wavelength > self.original_positions / self.low_freq_factor
        fast = wavelength < self.original_positions / self.high_freq_factor
        share = self.original_positions / wavelength - self.low_freq_factor
        share = share / (self.high_freq_factor - self.low_freq_factor)
        blended = (1 - share) * inverse / self.factor + share * inverse
        return torch.where(slow, inverse / self.factor, torch.where(fast, inverse, blended))


@dataclass(frozen=True)
class Rope:
    """A rotary embedding: base, and how its frequencies are scaled.

    Attributes:
        theta: the base.
        linear_factor: all frequencies are divided by it; 1 leaves them as they are.
        llama3: Llama 3.1's scaling, if it is that variant.
    """

    theta: float
    linear_factor: float = 1.0
    llama3: Llama3Scaling | None = None

    def inverse_frequencies(self, head_size: int) -> torch.Tensor:
        """Return `[head_size / 2]` float32 radians a position."""
        inverse = 1.0 / (self.theta ** (torch.arange(0, head_size, 2, dtype=torch.float32) / head_size))
        if self.llama3 is not None:
            return self.llama3.apply(inverse)
        return inverse / self.linear_factor

    def caches(self, positions: int, head_size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return cosines and sines `[positions, head_size / 2]`, computed in float32 as transformers does."""
        angles = torch.arange(positions, dtype=torch.float32)[:, None] * self.inverse_frequencies(head_size)
        return angles.cos().numpy(), angles.sin().numpy()


def rope_parameters(config: Any) -> dict[str, Any]:
    """Return transformers' `rope_parameters`; before version 5, which optimum needs, they were two attributes."""
    if hasattr(config, "rope_parameters"):
        parameters: dict[str, Any] = config.rope_parameters
        return parameters
    return {"rope_type": "default", "rope_theta": config.rope_theta, **(config.rope_scaling or {})}


def read_rope(parameters: dict[str, Any], where: str) -> Rope:
    """Return the rotary embedding that transformers' `rope_parameters` describe.

    Raises:
        UnsupportedModelError: another variant, or one that turns only a part of each head.
    """
    kind = parameters["rope_type"]
    if kind not in ("default", "linear", "llama3"):
        raise UnsupportedModelError(
            f"{where} scales its rotary embedding ({kind!r}); the exporter covers 'default', 'linear' and 'llama3'"
        )
    if (part := parameters.get("partial_rotary_factor", 1.0)) != 1.0:
        raise UnsupportedModelError(
            f"{where} turns only a part of each head (partial_rotary_factor {part}); the exporter covers 1.0"
        )
    theta = float(parameters["rope_theta"])
    if kind == "linear":
        return Rope(theta, linear_factor=float(parameters["factor"]))
    if kind == "llama3":
        keys = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        return Rope(theta, llama3=Llama3Scaling(*(parameters[key] for key in keys)))
    return Rope(theta)
