"""Operations and bytes of one recommendation, by what each row's algorithm runs.

A call is a list of passes: runs of the decoder over some tokens. A pass reads every weight of the decoder once,
whatever the number of tokens; a multiplication and an addition are two operations. Counted are products with
weights, attention and the head, and the bytes of weights and of keys and values. Left out are norms, rotations, the
trie, the rows of the embedding table that are looked up, scales of rounded weights, activations, and copies of keys
and values that an implementation makes: the bytes are the least that the algorithm has to move.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mobile_bench.baselines.workload import Shape
from odllm_export.bundle import Manifest

WEIGHT_BYTES = {"fp32": 4.0, "f32": 4.0, "f16": 2.0, "int8-dynamic": 1.0, "q8_0": 34 / 32}
"""Bytes a weight takes, by format; q8_0 has a half-precision scale for 32 weights."""

INTEGER = frozenset({"int8-dynamic", "q8_0"})
"""Formats whose products are of 8-bit integers."""

_SINGLE, _HALF = 4, 2


class Block(msgspec.Struct, frozen=True):
    """Multiplications of one token by a block's weights.

    Attributes:
        keys_values: by the projections that every token needs.
        queries: by those of queries and of attention's output.
        mlp: by the gate, up and down projections.
    """

    keys_values: int
    queries: int
    mlp: int


class Decoder(msgspec.Struct, frozen=True):
    """What of a decoder decides how much it computes.

    Attributes:
        blocks: in order.
        queries_width: heads × head size.
        cache_width: key-value heads × head size, of keys and values together.
        head: multiplications of one token by the head: hidden × its rows.
    """

    blocks: tuple[Block, ...]
    queries_width: int
    cache_width: int
    head: int

    @property
    def weights(self) -> int:
        """Weights that a pass reads."""
        return sum(block.keys_values + block.queries + block.mlp for block in self.blocks) + self.head


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the decoder, or several alike that are counted together.

    Attributes:
        tokens: that go through the blocks, of all sequences.
        last_queries: those for which the last block computes queries and attention's output.
        last_mlp: those that go through the last block's MLP.
        read: those whose logits are computed.
        seen: pairs of a token and a column that a block's attention multiplies.
        last_seen: the same of the last block.
        columns: keys, and as many values, that a block reads, of all sequences.
        times: runs that are counted together here.
    """

    tokens: int
    last_queries: int
    last_mlp: int
    read: int
    seen: int
    last_seen: int
    columns: int
    times: float = 1.0


class Work(msgspec.Struct, frozen=True):
    """What one recommendation computes and moves.

    Attributes:
        products: operations of products with weights.
        attention: operations of attention.
        weight_bytes: of weights, read once a pass.
        cache_bytes: of keys and values: written once, and read once a pass.
        integer: whether the products are of 8-bit integers.
    """

    products: float = 0.0
    attention: float = 0.0
    weight_bytes: float = 0.0
    cache_bytes: float = 0.0
    integer: bool = False


def whole_pass(tokens: int, read: int, seen: int, columns: int) -> Pass:
    """Return a pass all of whose tokens go through all of every block."""
    return Pass(
        tokens=tokens,
        last_queries=tokens,
        last_mlp=tokens,
        read=read,
        seen=seen,
        last_seen=seen,
        columns=columns,
    )


def work_of(decoder: Decoder, passes: Sequence[Pass], weights: str) -> Work:
    """Return what passes compute and move.

    Args:
        decoder: that runs.
        passes: of one call.
        weights: their format, of `WEIGHT_BYTES`. Keys and values are half precision where weights are and for q8_0.
    """
    *early, last = decoder.blocks
    inner = sum(block.keys_values + block.queries + block.mlp for block in early)
    products = attention = columns = 0.0
    for one in passes:
        products += one.tokens * (inner + last.keys_values)
        products += one.last_queries * last.queries + one.last_mlp * last.mlp + one.read * decoder.head
        attention += 2 * decoder.queries_width * (len(early) * one.seen + one.last_seen)
        columns += one.tokens + one.times * one.columns
    number = _HALF if weights in ("f16", "q8_0") else _SINGLE
    return Work(
        products=2 * products,
        attention=2 * attention,
        weight_bytes=sum(one.times for one in passes) * decoder.weights * WEIGHT_BYTES[weights],
        cache_bytes=columns * len(decoder.blocks) * decoder.cache_width * number,
        integer=weights in INTEGER,
    )


def mean_work(works: Sequence[Work]) -> Work:
    """Return the mean over calls of one row; empty work if there are none."""
    if not works:
        return Work()
    fields = ("products", "attention", "weight_bytes", "cache_bytes")
    means = {field: sum(getattr(work, field) for work in works) / len(works) for field in fields}
    return Work(**means, integer=works[0].integer)


def shape_decoder(shape: Shape) -> Decoder:
    """Return the dense decoder of a shape, with the head of the whole vocabulary."""
    head_size = shape.hidden // shape.heads
    keys, queries = shape.kv_heads * head_size, shape.heads * head_size
    block = Block(2 * keys * shape.hidden, 2 * queries * shape.hidden, 3 * shape.hidden * shape.intermediate)
    return Decoder((block,) * shape.layers, queries, 2 * keys, shape.hidden * shape.vocabulary)


def bundle_decoder(manifest: Manifest, intermediate: int) -> Decoder:
    """Return the decoder of a bundle: factored where its model is, with the head that its scoring needs."""
    model, (_, _, kv_heads, head_size) = manifest.model, manifest.graph.kv_cache
    vocabulary = manifest.prompt.first_code_token + manifest.prompt.code_rows
    return Decoder(
        tuple(_block(manifest, layer, intermediate) for layer in range(model.layers)),
        model.heads * head_size,
        2 * kv_heads * head_size,
        model.hidden * (len(manifest.graph.embedding_rows) or vocabulary),
    )


def bundle_passes(prompt_tokens: int, cached_tokens: int, tokens_run: int, passes: float) -> list[Pass]:
    """Return the passes of a bundle's call: the prompt, and all behind it together.

    Behind the last block's keys and values only rows whose logits are read go on. Tokens behind the prompt are counted
    as if each saw all columns of the last pass.

    Args:
        prompt_tokens: of the whole prompt.
        cached_tokens: of it that were computed before.
        tokens_run: tokens that were run, as the graph reports them.
        passes: of the decoder.
    """
    fresh = prompt_tokens - cached_tokens
    behind = tokens_run - fresh
    columns = prompt_tokens + behind
    prompt = Pass(
        tokens=fresh,
        last_queries=1,
        last_mlp=1,
        read=1,
        seen=fresh * prompt_tokens,
        last_seen=prompt_tokens,
        columns=prompt_tokens,
    )
    rest = whole_pass(behind, behind, behind * columns, columns)
    return [prompt, msgspec.structs.replace(rest, times=passes - 1)]


def generate_passes(prompt_tokens: int, levels: int, num_beams: int, *, reads_all: bool) -> list[Pass]:
    """Return the passes of transformers' beam search: every beam is a sequence of its own, the prompt in it.

    Args:
        prompt_tokens: of the prompt.
        levels: codes that are written.
        num_beams: sequences.
        reads_all: whether the decoder computes the logits of all tokens of the prompt, not only of the last.
    """
    tokens = num_beams * prompt_tokens
    passes = [whole_pass(tokens, tokens if reads_all else num_beams, tokens * prompt_tokens, tokens)]
    for level in range(1, levels):
        columns = num_beams * (prompt_tokens + level)
        passes.append(whole_pass(num_beams, num_beams, columns, columns))
    return passes


def tree_passes(prompt_tokens: int, beams: Sequence[int]) -> list[Pass]:
    """Return the passes of a search whose beams share one cache: the prompt once, then a token a beam and level.

    Args:
        prompt_tokens: of the prompt, all of them run.
        beams: tokens of every pass behind it.
    """
    passes, columns = [whole_pass(prompt_tokens, 1, prompt_tokens**2, prompt_tokens)], prompt_tokens
    for tokens in beams:
        columns += tokens
        passes.append(whole_pass(tokens, tokens, tokens * columns, columns))
    return passes


def llama_cpp_passes(prompt_tokens: int, cached_tokens: int, beams: Sequence[int]) -> list[Pass]:
    """Return the passes of `tree_passes` as llama.cpp runs them, with a prefix of the prompt computed before.

    Its last block leaves out the MLP, and nothing else, for tokens whose logits are not read.
    """
    fresh = prompt_tokens - cached_tokens
    prompt = msgspec.structs.replace(whole_pass(fresh, 1, fresh * prompt_tokens, prompt_tokens), last_mlp=1)
    return [prompt, *tree_passes(prompt_tokens, beams)[1:]]


def _block(manifest: Manifest, layer: int, intermediate: int) -> Block:
    model, (_, _, kv_heads, head_size) = manifest.model, manifest.graph.kv_cache
    hidden, queries, keys = model.hidden, model.heads * head_size, kv_heads * head_size

    def cost(name: str, rows: int, columns: int) -> int:
        rank = model.ranks.get(f"model.layers.{layer}.{name}")
        return rows * columns if rank is None else rank * (rows + columns)

    return Block(
        cost("self_attn.k_proj", keys, hidden) + cost("self_attn.v_proj", keys, hidden),
        cost("self_attn.q_proj", queries, hidden) + cost("self_attn.o_proj", hidden, queries),
        cost("mlp.gate_proj", intermediate, hidden)
        + cost("mlp.up_proj", intermediate, hidden)
        + cost("mlp.down_proj", hidden, intermediate),
    )
