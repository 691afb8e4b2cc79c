"""Running a LLaMA-family model half a block at a time, and reading the inputs of its projections on the way.

A block is two halves, each a normalisation, a module, and the addition of the module's output to the residual stream.
They are called as the whole model calls them (same causal mask, positions and rotary tables), so that walking them one
after the other gives the whole model's hidden states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import create_causal_mask

from compression.calibration import CalibrationBatch
from compression.lowrank import GROUPS, ProjectionGroup


@dataclass(frozen=True)
class Half:
    """One half of a block, by transformers' names.

    Attributes:
        norm: normalises the residual stream for the module.
        module: what is added to the residual stream.
        reads: the projections that read the normalised stream.
        writes: the one projection whose output is the module's.
    """

    norm: str
    module: str
    reads: ProjectionGroup
    writes: ProjectionGroup


HALVES: tuple[Half, Half] = (
    Half("input_layernorm", "self_attn", GROUPS[0], GROUPS[1]),
    Half("post_attention_layernorm", "mlp", GROUPS[2], GROUPS[3]),
)


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

    def tokens_of(self, states: torch.Tensor) -> torch.Tensor:
        """Return the rows of `states` `[batch, tokens, n]` that are no padding, `[kept, n]`; a view where all are."""
        return kept_rows(states, self.keep)


class _Seen(Exception):  # noqa: N818  (not an error: it ends a forward pass early)
    """What was asked for was seen; the rest need not run."""

    def __init__(self, inputs: torch.Tensor) -> None:
        super().__init__()
        self.inputs = inputs


def kept_rows(states: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Return the rows of `states` `[batch, tokens, n]` where `keep` is true, `[kept, n]`; a view where all are."""
    rows = states.flatten(0, 1)
    if bool(keep.all()):
        return rows
    return rows.index_select(0, keep.flatten().nonzero()[:, 0])  # row by row: several times faster than by a mask


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


def normalized(block: nn.Module, half: Half, hidden: torch.Tensor) -> torch.Tensor:
    """Return what the half's first projections read, `[batch, tokens, hidden]`."""
    result: torch.Tensor = block.get_submodule(half.norm)(hidden)
    return result


def half_output(block: nn.Module, half: Half, hidden: torch.Tensor, inputs: BlockInputs) -> torch.Tensor:
    """Return what the half adds to the residual stream, `[batch, tokens, hidden]`."""
    module, states = block.get_submodule(half.module), normalized(block, half, hidden)
    if half.module == "mlp":
        result: torch.Tensor = module(states)
        return result
    result, _ = module(
        hidden_states=states,
        attention_mask=inputs.attention_mask,
        position_ids=inputs.position_ids,
        position_embeddings=inputs.position_embeddings,
    )
    return result


def last_inputs(block: nn.Module, half: Half, hidden: torch.Tensor, inputs: BlockInputs) -> torch.Tensor:
    """Return what the half's last projection reads, `[batch, tokens, n]`, without running it."""

    def stop(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        raise _Seen(args[0])

    with hooked([(block.get_submodule(half.writes.projections[0]), stop)]):
        try:
            half_output(block, half, hidden, inputs)
        except _Seen as seen:
            return seen.inputs
    raise AssertionError(f"{half.module} does not end with {half.writes.projections[0]}")


def half_output_and_inputs(
    block: nn.Module, half: Half, hidden: torch.Tensor, inputs: BlockInputs
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both `half_output` and `last_inputs`, in one run."""
    seen: list[torch.Tensor] = []
    with hooked([(block.get_submodule(half.writes.projections[0]), lambda module, args: seen.append(args[0]))]):
        output = half_output(block, half, hidden, inputs)
    return output, seen[0]


def run_block(block: nn.Module, hidden: torch.Tensor, inputs: BlockInputs) -> torch.Tensor:
    """Return the hidden states `[batch, tokens, hidden]` behind one block."""
    for half in HALVES:
        hidden = hidden + half_output(block, half, hidden, inputs)
    return hidden


@contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Any]]) -> Iterator[None]:
    """Have modules call forward pre-hooks for a while: pairs of both."""
    handles = [module.register_forward_pre_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
