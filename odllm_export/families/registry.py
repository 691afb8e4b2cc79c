"""The families that the graph computes, and the features that it refuses in all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig

from odllm_artifact import read_json
from odllm_export.errors import UnsupportedModelError
from odllm_export.families import llama, mistral, qwen2, qwen3
from odllm_export.families.decoder import Decoder

FAMILIES: dict[str, Callable[[Any, str], Decoder]] = {
    "llama": llama.describe,
    "mistral": mistral.describe,
    "qwen2": qwen2.describe,
    "qwen3": qwen3.describe,
}
"""transformers' `model_type` → description. A family of the same blocks joins here, with a file of its own."""

FOREIGN_KEYS = {
    "num_experts": "mixture of experts",
    "num_local_experts": "mixture of experts",
    "attn_logit_softcapping": "soft-capping of attention logits",
    "final_logit_softcapping": "soft-capping of logits",
    "quantization_config": "quantized weights",
}
"""Keys of other architectures: a model that sets one computes something that the graph does not."""


def read_decoder(folder: Path) -> Decoder:
    """Read the architecture of a model folder.

    Raises:
        UnsupportedModelError: another family, or a feature that the graph does not compute; the message names it.
    """
    config, path = _read_config(folder), folder / "config.json"
    for key, feature in FOREIGN_KEYS.items():
        if getattr(config, key, None):
            raise UnsupportedModelError(f"{path} asks for {feature} ({key}), which the exporter does not cover")
    if config.model_type not in FAMILIES:
        raise UnsupportedModelError(
            f"{folder} is a {config.model_type!r} model; the exporter covers {', '.join(FAMILIES)}"
        )
    if config.hidden_act != "silu":
        raise UnsupportedModelError(f"{path} uses the activation {config.hidden_act!r}; the exporter covers 'silu'")
    kinds = sorted({*(getattr(config, "layer_types", None) or ())} - {"full_attention"})
    if kinds:
        raise UnsupportedModelError(
            f"{path} has layers of {', '.join(kinds)} (a sliding window, or another kind of attention); "
            "the exporter covers full attention"
        )
    return FAMILIES[config.model_type](config, str(path))


def _read_config(folder: Path) -> Any:
    """Return transformers' configuration: what config.json leaves out has defaults that differ by family."""
    family = read_json(folder / "config.json").get("model_type")
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (StrictDataclassError, KeyError, ValueError, TypeError) as error:
        raise UnsupportedModelError(
            f"transformers does not take {folder / 'config.json'} of a {family!r} model: {error}"
        ) from error
