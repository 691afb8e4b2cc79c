"""Mistral: no biases; `head_dim` may differ from hidden ÷ heads; every layer slides where `sliding_window` is set."""

from __future__ import annotations

from typing import Any

from odllm_export.errors import UnsupportedModelError
from odllm_export.families.decoder import Decoder


def describe(config: Any, where: str) -> Decoder:
    """Return the decoder.

    Raises:
        UnsupportedModelError: its attention slides, which it does by default: the key has to say null.
    """
    if config.sliding_window is not None:
        raise UnsupportedModelError(
            f"{where} has a sliding window of {config.sliding_window} tokens; the exporter covers full attention. "
            "If no prompt is longer than the window, set sliding_window to null in config.json: nothing else changes."
        )
    return Decoder.from_config(config, where)
