"""Floating-point operations of one recommendation, counted from what the graph ran."""

from __future__ import annotations

import msgspec

from odllm_export.bundle import Manifest


class Projections(msgspec.Struct, frozen=True):
    """Multiplications of one token by a block's projections, of all tokens (keys, values) and of those read on."""

    keys_values: int
    others: int


def recommendation_flops(manifest: Manifest, intermediate: int, prompt_tokens: int, tokens_run: int) -> float:
    """Return the operations (a multiplication and an addition are two) of projections, attention and head.

    Norms, rotations and the trie are left out: under two in a hundred. Tokens behind the prompt are counted as if each
    saw all columns of the last pass.

    Args:
        manifest: of the bundle.
        intermediate: width of the MLP.
        prompt_tokens: of the whole prompt.
        tokens_run: tokens that were run, as the graph reports them.
    """
    model, head_size = manifest.model, manifest.graph.kv_cache[-1]
    cached = manifest.graph.prefix_tokens
    fresh = prompt_tokens - cached
    behind = tokens_run - fresh
    read = behind + 1
    multiplications = 0.0
    for layer in range(model.layers):
        part = _projections(manifest, layer, intermediate)
        reads_all = layer < model.layers - 1  # behind the last block only rows whose logits are read go on
        queries = tokens_run if reads_all else read
        multiplications += tokens_run * part.keys_values + queries * part.others
        seen = (fresh if reads_all else 1) * prompt_tokens + behind * (prompt_tokens + behind)
        multiplications += 2 * model.heads * head_size * seen
    multiplications += read * model.hidden * (len(manifest.graph.embedding_rows) or _vocabulary(manifest))
    return 2 * multiplications


def _projections(manifest: Manifest, layer: int, intermediate: int) -> Projections:
    model, (_, _, kv_heads, head_size) = manifest.model, manifest.graph.kv_cache
    hidden, queries, keys = model.hidden, model.heads * head_size, kv_heads * head_size
    shapes = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (intermediate, hidden),
        "mlp.up_proj": (intermediate, hidden),
        "mlp.down_proj": (hidden, intermediate),
    }
    costs = {}
    for name, (rows, columns) in shapes.items():
        rank = model.ranks.get(f"model.layers.{layer}.{name}")
        costs[name] = rows * columns if rank is None else rank * (rows + columns)
    keys_values = costs["self_attn.k_proj"] + costs["self_attn.v_proj"]
    return Projections(keys_values, sum(costs.values()) - keys_values)


def _vocabulary(manifest: Manifest) -> int:
    return manifest.prompt.first_code_token + manifest.prompt.code_rows
