"""LLaMA 1 to 3.2, SmolLM and all that share the architecture: biases only where the configuration asks for them."""

from __future__ import annotations

from typing import Any

from odllm_export.families.decoder import ATTENTION, MLP, Decoder


def describe(config: Any, where: str) -> Decoder:
    """Return the decoder: `attention_bias` means all four projections of the attention, `mlp_bias` all of the MLP."""
    biases = (ATTENTION if config.attention_bias else ()) + (MLP if config.mlp_bias else ())
    return Decoder.from_config(config, where, biases=biases)
