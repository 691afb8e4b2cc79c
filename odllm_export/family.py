"""What the graph needs to know of a model's architecture, read from its config.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odllm_artifact import read_json
from odllm_export.errors import UnsupportedModelError


@dataclass(frozen=True)
class Decoder:
    """A LLaMA-family decoder's shape.

    Attributes:
        family: transformers' `model_type`.
        layers: blocks.
        hidden: width of the hidden state.
        heads: query heads.
        kv_heads: key and value heads.
        head_size: width of a head.
        intermediate: width of the MLP.
        vocabulary: rows of the embedding.
        norm_eps: of the RMS norms.
        rope_theta: base of the rotary embedding.
        tied: whether the head is the embedding.
    """

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    norm_eps: float
    rope_theta: float
    tied: bool

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """The seven projections of a block by name, `(out, in)` each."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "self_attn.q_proj": (queries, self.hidden),
            "self_attn.k_proj": (keys, self.hidden),
            "self_attn.v_proj": (keys, self.hidden),
            "self_attn.o_proj": (self.hidden, queries),
            "mlp.gate_proj": (self.intermediate, self.hidden),
            "mlp.up_proj": (self.intermediate, self.hidden),
            "mlp.down_proj": (self.hidden, self.intermediate),
        }

    def keep_ratio(self, ranks: dict[str, int]) -> float:
        """Return kept ÷ original parameters of the projections, given the ranks of those that are factored."""
        kept = original = 0
        for layer in range(self.layers):
            for name, (rows, columns) in self.projections.items():
                rank = ranks.get(f"model.layers.{layer}.{name}")
                original += rows * columns
                kept += rows * columns if rank is None else rank * (rows + columns)
        return kept / original

    def rotary_caches(self, positions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return cosines and sines `[positions, head_size / 2]`, computed in float32 as transformers does."""
        exponent = np.arange(0, self.head_size, 2, dtype=np.float32) / np.float32(self.head_size)
        inverse = (1.0 / np.float32(self.rope_theta) ** exponent).astype(np.float32)
        angles = np.arange(positions, dtype=np.float32)[:, None] * inverse
        return np.cos(angles), np.sin(angles)


def read_decoder(folder: Path) -> Decoder:
    """Read the architecture of a model folder.

    Raises:
        UnsupportedModelError: another family, or a feature that the graph does not compute; the message names it.
    """
    config = read_json(folder / "config.json")
    family = config.get("model_type")
    if family != "llama":
        raise UnsupportedModelError(f"{folder} is a {family!r} model; the exporter covers 'llama'")
    rope = _rope(config, folder)
    activation = config.get("hidden_act", "silu")
    if activation != "silu":
        raise UnsupportedModelError(f"{folder} uses the activation {activation!r}; the exporter covers 'silu'")
    heads = config["num_attention_heads"]
    return Decoder(
        family=family,
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_size=config.get("head_dim") or config["hidden_size"] // heads,
        intermediate=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        norm_eps=config["rms_norm_eps"],
        rope_theta=float(rope["rope_theta"]),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def _rope(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the rotary parameters, from transformers 5's `rope_parameters` or the older pair of keys."""
    rope = config.get("rope_parameters") or {
        "rope_theta": config.get("rope_theta", 10000.0),
        **(config.get("rope_scaling") or {}),
    }
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise UnsupportedModelError(f"{folder} scales its rotary embedding ({kind!r}); the exporter covers 'default'")
    return rope
