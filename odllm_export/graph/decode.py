"""One pass of tokens through the decoder: from ids to the logits of the rows that the search reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from odllm_export.families.decoder import Decoder
from odllm_export.graph.blocks import Rows, apply_block, rms_norm
from odllm_export.graph.builder import GraphBuilder
from odllm_export.graph.weights import Weights

Past = Sequence[tuple[str, str]]
"""Keys and values of each layer, `[1, kv_heads, tokens, head_size]` each."""


@dataclass(frozen=True)
class Tokens:
    """What a pass feeds, and how many of its last rows the search reads logits of.

    Attributes:
        ids: `[rows]` int64 embedding rows.
        positions: `[rows]` int64.
        mask: `[rows, columns + rows]` bool: what each token sees.
        read: `[1]` int64.
    """

    ids: str
    positions: str
    mask: str
    read: str


def decode(
    body: GraphBuilder, decoder: Decoder, weights: Weights, tokens: Tokens, past: Past
) -> tuple[str, list[tuple[str, str]]]:
    """Run tokens behind `past`; return logits `[read, rows of the head]` and the grown keys and values."""
    rows = Rows(
        positions=body.row(tokens.positions),
        mask=tokens.mask,
        last=tokens.read,
        last_positions=body.row(body.last(tokens.positions, tokens.read, axis=0)),
        last_mask=body.last(tokens.mask, tokens.read, axis=0),
    )
    grown = []
    x = weights.storage.lookup(body, tokens.ids, weights.embedding)
    for block, before in zip(weights.blocks, past, strict=True):
        x, keys, values = apply_block(body, weights.storage, block, decoder, weights.rotary, x, rows, before)
        grown.append((keys, values))
    x = body.op("Squeeze", rms_norm(body, x, weights.norm, decoder), body.constant([0]))  # [read, hidden]
    return weights.storage.project(body, x, weights.head), grown
