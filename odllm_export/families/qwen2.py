"""Qwen2 and Qwen2.5: biases of query, key and value, always; none of the output and the MLP."""

from __future__ import annotations

from typing import Any

from odllm_export.families.decoder import Decoder


def describe(config: Any, where: str) -> Decoder:
    """Return the decoder; the biases are in no key of the configuration."""
    return Decoder.from_config(config, where, biases=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"))
