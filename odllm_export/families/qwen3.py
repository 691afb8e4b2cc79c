"""Qwen3: queries and keys are RMS-normalised head by head; `head_dim` is 128 unless said otherwise."""

from __future__ import annotations

from typing import Any

from odllm_export.families.decoder import ATTENTION, Decoder


def describe(config: Any, where: str) -> Decoder:
    """Return the decoder: `attention_bias` means all four projections of the attention."""
    biases = ATTENTION if config.attention_bias else ()
    return Decoder.from_config(config, where, biases=biases, query_key_norms=True)
