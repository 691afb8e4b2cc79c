"""Recommenders trained from scratch: LLaMA-architecture presets over a vocabulary of code tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lcrec.errors import ModelError
from lcrec.prompt import Prompt, PromptText

_MLP_STEP = 8
"""Widths of an MLP are multiples of this: a vector of a processor."""


class Preset(msgspec.Struct, frozen=True):
    """Shape and training recipe of a recommender.

    Attributes:
        hidden: width of the hidden state.
        layers: decoder blocks.
        heads: query heads.
        kv_heads: key and value heads.
        intermediate: width of the MLP.
        max_items: history items a prompt holds.
        epochs: passes over the training sequences, at most.
        batch_windows: windows of `max_items + 1` items a step.
        learning_rate: at its peak.
        weight_decay: of the matrices.
        dropout: of the input embeddings; dropped attention weights would cost the fast attention kernel.
        left_out: share of the items left out of the training sequences, others every epoch: what is learned by
            heart is a whole history.
        patience: validations without gain before training stops.
        bfloat16: compute matrix products in bfloat16 where the CPU has instructions for it (master weights,
            sums and the loss stay float32): 1.6 times the speed of float32 here, at widths of 256 and more.
        prompt_text: words around the items.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    max_items: int = 20
    epochs: int = 20
    batch_windows: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    dropout: float = 0.1
    left_out: float = 0.0
    patience: int = 5
    bfloat16: bool = False
    prompt_text: PromptText = PromptText(prefix="<s>", separator="", suffix="")


PRESETS: dict[str, Preset] = {
    # Many small steps: at equal cost better than few large ones on little data, and a second thread gains nothing.
    "tiny": Preset(hidden=128, layers=2, heads=4, kv_heads=2, intermediate=352, epochs=10, batch_windows=8),
    "small": Preset(hidden=256, layers=4, heads=4, kv_heads=4, intermediate=704, dropout=0.0, batch_windows=64),
    # What tens of thousands of users carry: half an hour to an hour on one core.
    "medium": Preset(
        hidden=384,
        layers=3,
        heads=6,
        kv_heads=6,
        intermediate=1024,
        epochs=12,
        batch_windows=64,
        learning_rate=1.5e-3,
        dropout=0.2,
        left_out=0.25,
        bfloat16=True,
    ),
}


def find_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        ModelError: there is none of that name.
    """
    if name not in PRESETS:
        raise ModelError(f"preset {name!r} is not one of {', '.join(PRESETS)}")
    return PRESETS[name]


def resized(preset: Preset, parameters: int, vocabulary: int) -> Preset:
    """Return a preset of (nearly) so many parameters: fewer or more heads of the same size, and an MLP to fit.

    Of the numbers of heads that allow it, the one is taken whose MLP, relative to the hidden state, is nearest to the
    preset's in width. Depth and recipe stay.

    Args:
        preset: where to start from.
        parameters: of the whole model, embedding and norms included.
        vocabulary: tokens; the embedding is also the head.

    Raises:
        ModelError: no such model has so few parameters.
    """
    head, group = preset.hidden // preset.heads, preset.heads // preset.kv_heads
    found: list[Preset] = []
    for heads in range(group, 4 * preset.heads + 1, group):
        shape = msgspec.structs.replace(preset, hidden=head * heads, heads=heads, kv_heads=heads // group)
        left = parameters - _count(msgspec.structs.replace(shape, intermediate=0), vocabulary)
        width = round(left / (3 * shape.hidden * shape.layers) / _MLP_STEP) * _MLP_STEP
        if width >= _MLP_STEP:
            found.append(msgspec.structs.replace(shape, intermediate=width))
    if not found:
        raise ModelError(
            f"no model of {preset.layers} layers over {vocabulary} tokens has {parameters} parameters: "
            "expected more. Take a smaller preset, or ask for more."
        )
    ratio = preset.intermediate / preset.hidden
    return min(found, key=lambda shape: abs(math.log(shape.intermediate / shape.hidden / ratio)))


def _count(preset: Preset, vocabulary: int) -> int:
    """Return the parameters of a preset's model."""
    hidden, kv = preset.hidden, preset.hidden // preset.heads * preset.kv_heads
    block = 2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * preset.intermediate + 2 * hidden
    return vocabulary * hidden + preset.layers * block + hidden


def new_model(preset: Preset, vocabulary: int, prompt: Prompt, *, seed: int) -> LlamaForCausalLM:
    """Return a randomly initialised model whose embedding is also its head."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=preset.hidden,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        num_key_value_heads=preset.kv_heads,
        intermediate_size=preset.intermediate,
        vocab_size=vocabulary,
        max_position_embeddings=prompt.max_tokens,
        tie_word_embeddings=True,
        bos_token_id=prompt.prefix_ids[0],
        eos_token_id=None,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def parameter_count(model: torch.nn.Module) -> int:
    """Return the number of parameters, tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def code_token_ids(prompt: Prompt) -> Sequence[int]:
    """Return the token ids of all code rows."""
    return range(prompt.first_code_token, prompt.first_code_token + prompt.code_rows)
