"""Memory of a fine-tuning on one device, by part, in bytes: formulas, checked against what autograd really keeps.

With N weights of which L learn, in b bytes each, shared out over P devices where the weights are:

    weights       the model's tensors / P                      gradients    b L / P
    optimizer     2 b L / P (AdamW), rows and columns (Adafactor)
    casts         2 bytes a float32 weight of the products, in bfloat16, kept from forward to backward
    activations   a token and a block: 30 h + 4 k + 8 m + 4 a + 8 bytes in bfloat16, 32 h + 8 k + 16 m + 4 a + 8 in
                  float32 (h hidden, k keys of all heads, m the MLP's width, a heads), and for adapters with dropout
                  4 (6 h + m) more; with checkpointing 4 h, and one block in full; 8 h once a token behind the blocks
    logits        12 bytes a predicted token and a token of the vocabulary: logits, their log-softmax, their gradient
"""

from __future__ import annotations

from typing import Any

import msgspec
from torch import nn

from lcrec.finetune.config import FineTuneConfig


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on one device at a step's peak, by part."""

    weights: int
    gradients: int
    optimizer: int
    casts: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(getattr(self, name) for name in self.__struct_fields__)


def estimate_memory(
    model: Any,
    config: FineTuneConfig,
    *,
    tokens: int,
    predicted_tokens: int,
    in_bfloat16: bool,
    checkpointing: bool,
    shards: int = 1,
) -> Memory:
    """Return a device's memory at the peak of a step; nothing is allocated.

    Args:
        model: as it learns (`Learner.model`), its weights on any device, `meta` included.
        config: gives what learns and the optimizer.
        tokens: of one forward, padding included.
        predicted_tokens: at most so many of a forward's tokens are predicted.
        in_bfloat16: whether products are computed in bfloat16.
        checkpointing: whether activations are computed again in the backward pass.
        shards: devices that share the weights.
    """
    weights = list(model.parameters())
    learned = [weight for weight in weights if weight.requires_grad]
    shape = model.config
    blocks = shape.num_hidden_layers
    block = block_bytes_a_token(shape, in_bfloat16=in_bfloat16)
    if config.learning == "lora" and config.lora_dropout:
        block += 4 * (6 * shape.hidden_size + shape.intermediate_size)
    kept = blocks * 4 * shape.hidden_size + block if checkpointing else blocks * block
    cast = 2 * sum(weight.numel() for weight in weights if weight.dim() > 1 and weight.itemsize == 4)
    cast = cast // blocks if checkpointing else cast
    return Memory(
        weights=sum(weight.nbytes for weight in weights) // shards,
        gradients=sum(weight.nbytes for weight in learned) // shards,
        optimizer=sum(_state_bytes(weight, config) for weight in learned) // shards,
        casts=cast if in_bfloat16 else 0,
        activations=tokens * (kept + 8 * shape.hidden_size),
        logits=predicted_tokens * 12 * shape.vocab_size,
    )


def block_bytes_a_token(shape: Any, *, in_bfloat16: bool) -> int:
    """Return what autograd keeps of one LLaMA block a token, in bytes, when all of its weights learn."""
    hidden, heads, mlp = shape.hidden_size, shape.num_attention_heads, shape.intermediate_size
    size = getattr(shape, "head_dim", None) or hidden // heads
    keys = size * (getattr(shape, "num_key_value_heads", None) or heads)
    if in_bfloat16:
        return 30 * hidden + 4 * keys + 8 * mlp + 4 * heads + 8
    return 32 * hidden + 8 * keys + 16 * mlp + 4 * heads + 8


def _state_bytes(weight: nn.Parameter, config: FineTuneConfig) -> int:
    if config.optimizer == "adamw":
        return 2 * weight.nbytes
    if weight.dim() < 2:
        return weight.nbytes
    rows, columns = weight.shape[-2:]
    return (rows + columns) * weight.itemsize
