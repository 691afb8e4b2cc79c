"""Running a LLaMA-family model one block at a time, and reading the inputs of its projections on the way.

Blocks are called as the whole model calls them (same causal mask, positions and rotary tables), so that
walking them one after the other gives the whole model's hidden states.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import create_causal_mask

from compression.calibration import CalibrationBatch
from compression.lowrank import ProjectionGroup


@dataclass(frozen=True)
class BlockInputs:
    """What every block is given beside the hidden states.

    Attributes:
        keep: `[batch, tokens]` bool, true where there is a token.
        attention_mask: what transformers makes of it, causality included; None where it needs none.
        position_ids: `[batch, tokens]`.
        position_embeddings: cosines and sines of the rotary embedding, `[batch, tokens, head_dim]` each.
    """

    keep: torch.Tensor
    attention_mask: torch.Tensor | None
    position_ids: torch.Tensor
    position_embeddings: tuple[torch.Tensor, torch.Tensor]


@dataclass
class Captured:
    """What one batch showed at one group of projections, padding left out.

    Attributes:
        inputs: `[tokens, n]`, what the group's projections read.
        outputs: projection → `[tokens, m]`, without bias.
        residual: `[tokens, hidden]`, the stream that the group's output is added to, if there is one.
    """

    inputs: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0))
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    residual: torch.Tensor | None = None


class _GroupDone(Exception):  # noqa: N818  (not an error: it ends a forward pass early)
    """Everything asked for was seen; the rest of the block need not run."""


def embed(model: Any, batch: CalibrationBatch) -> tuple[torch.Tensor, BlockInputs]:
    """Return the hidden states `[batch, tokens, hidden]` in front of block 0, and its other inputs."""
    batch = batch.to(model.model.embed_tokens.weight.device)
    hidden = model.model.embed_tokens(batch.input_ids)
    positions = batch.positions()
    mask = create_causal_mask(
        config=model.config,
        inputs_embeds=hidden,
        attention_mask=batch.attention_mask,
        past_key_values=None,
        position_ids=positions,
    )
    rotary = model.model.rotary_emb(hidden, position_ids=positions)
    return hidden, BlockInputs(batch.attention_mask.bool(), mask, positions, rotary)


def run_block(block: nn.Module, hidden: torch.Tensor, inputs: BlockInputs) -> torch.Tensor:
    """Return the hidden states `[batch, tokens, hidden]` behind one block."""
    result: torch.Tensor = block(
        hidden,
        attention_mask=inputs.attention_mask,
        position_ids=inputs.position_ids,
        position_embeddings=inputs.position_embeddings,
    )
    return result


def capture(
    block: nn.Module, group: ProjectionGroup, hidden: torch.Tensor, inputs: BlockInputs, *, residual: bool
) -> Captured:
    """Run a block only as far as `group` and return what its projections read and wrote."""
    captured = Captured()
    wanted = residual and group.residual is not None
    with _hooks(block, group, inputs.keep, captured, residual=wanted), suppress(_GroupDone):
        run_block(block, hidden, inputs)
    return captured


@contextmanager
def _hooks(
    block: nn.Module, group: ProjectionGroup, keep: torch.Tensor, captured: Captured, *, residual: bool
) -> Iterator[None]:
    def on_projection(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            captured.inputs = args[0][keep]  # [tokens, n]
            rows = output[keep]  # [tokens, m]
            bias = _bias(module)
            captured.outputs[name] = rows if bias is None else rows - bias
            if len(captured.outputs) == len(group.projections):
                raise _GroupDone

        return hook

    def on_residual(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        captured.residual = args[0][keep]  # [tokens, hidden]

    handles = [block.get_submodule(name).register_forward_hook(on_projection(name)) for name in group.projections]
    if residual and group.residual is not None:
        handles.append(block.get_submodule(group.residual).register_forward_pre_hook(on_residual))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bias(module: nn.Module) -> torch.Tensor | None:
    bias = getattr(getattr(module, "output_factor", module), "bias", None)
    return bias if isinstance(bias, torch.Tensor) else None
