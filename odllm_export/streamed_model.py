"""A torch model that holds one decoder block at a time: for checkpoints that are larger than the memory.

Every forward reads the whole checkpoint again, which takes seconds a gigabyte. What it computes is what the model that
was loaded whole computes, but for the last bit: numbers that lie otherwise in memory may be added in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compression.checkpoint import empty_model
from odllm_export.graph.weights import HEAD
from odllm_export.tensors import ModelTensors


@contextmanager
def streamed_model(folder: Path) -> Iterator[Any]:
    """Open the model of a folder, in float32; embedding, head and the block that is running are in memory.

    Args:
        folder: a checkpoint, dense or low-rank.

    Raises:
        CheckpointError: config.json is missing, or the ranks are not those of such a model.
        TensorError: a tensor is missing, misshapen or not finite.
    """
    model = empty_model(folder).eval().requires_grad_(False)
    with ModelTensors(folder) as tensors:
        blocks = list(model.model.layers)
        tied = model.config.tie_word_embeddings
        resident = {name for name in model.state_dict() if not name.startswith("model.layers.")}
        _fill(model, tensors, resident - {HEAD} if tied else resident)
        if tied:
            model.lm_head.weight = model.model.embed_tokens.weight
        for index, block in enumerate(blocks):
            _stream(block, tensors, f"model.layers.{index}.")
        yield model


def _stream(block: nn.Module, tensors: ModelTensors, prefix: str) -> None:
    """Give a block its values before every forward and take them away behind it."""
    empty = block.state_dict()

    def load(*_: Any) -> None:
        _fill(block, tensors, set(empty), prefix)

    def drop(*_: Any) -> None:
        block.load_state_dict(empty, assign=True)

    block.register_forward_pre_hook(load)
    block.register_forward_hook(drop)


def _fill(module: nn.Module, tensors: ModelTensors, names: set[str], prefix: str = "") -> None:
    shapes = module.state_dict()
    names = names - {f"{name}.input_factor.weight".removeprefix(prefix) for name in tensors.shared_inputs}
    values = {name: torch.from_numpy(tensors.take(prefix + name, tuple(shapes[name].shape))) for name in names}
    module.load_state_dict(values, strict=False, assign=True)
