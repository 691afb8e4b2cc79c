"""Keys and values across calls: one tensor in, one tensor out.

`kv_cache [layers, 2, kv_heads, tokens, head_size]` holds keys (0) and values (1). `cached_tokens` says how many of its
tokens the prompt of this call begins with; with 0 the call begins with the cache of the prompt's fixed prefix, which
was computed at export. `next_kv_cache` is what the next call may pass on: everything before the prompt's suffix; it has
no tokens unless `return_cache` asks for it.
"""

from __future__ import annotations

from onnx import TensorProto

from odllm_export.families.decoder import Decoder
from odllm_export.graph.builder import GraphBuilder, State

INPUT, COUNT, WANTED, OUTPUT = "kv_cache", "cached_tokens", "return_cache", "next_kv_cache"


def shape(decoder: Decoder, tokens: str | int) -> list[str | int | None]:
    """Return the cache's shape."""
    return [decoder.layers, 2, decoder.kv_heads, tokens, decoder.head_size]


def inputs(decoder: Decoder) -> dict[str, tuple[int, list[str | int | None]]]:
    """Return the graph's inputs by name: element type and shape."""
    one: list[str | int | None] = [1]
    return {
        INPUT: (TensorProto.FLOAT, shape(decoder, "cached")),
        COUNT: (TensorProto.INT64, one),
        WANTED: (TensorProto.BOOL, one),
    }


def names(layer: int) -> tuple[str, str]:
    """Return what a loop over passes calls a layer's keys and values, `[1, kv_heads, tokens, head_size]`."""
    return f"keys_{layer}", f"values_{layer}"


def received(graph: GraphBuilder, decoder: Decoder, prefix_cache: str, ids: str) -> str:
    """Return the cache that a call begins with: at least one token of the prompt is left to run."""
    given = graph.body()
    usable = given.op("Min", COUNT, given.op("Sub", given.size(ids, 0), given.constant([1])))
    kept = given.first(INPUT, usable, axis=3)
    anything = graph.scalar(graph.op("Greater", COUNT, graph.constant([0])))
    types = [inputs(decoder)[INPUT]]
    (cache,) = graph.branch(anything, then=(given, [kept]), otherwise=(graph.body(), [prefix_cache]), types=types)
    return cache


def initial(graph: GraphBuilder, decoder: Decoder, cache: str) -> State:
    """Return the loop's keys and values at the beginning."""
    state: State = {}
    for layer in range(decoder.layers):
        both = graph.op("Gather", cache, graph.constant(layer), axis=0)  # [2, kv_heads, tokens, head_size]
        halves = graph.ops("Split", both, graph.constant([1, 1]), outputs=2, axis=0)
        for name, half in zip(names(layer), halves, strict=True):
            state[name] = (half, TensorProto.FLOAT, [1, decoder.kv_heads, "columns", decoder.head_size])
    return state


def returned(graph: GraphBuilder, decoder: Decoder, found: dict[str, str], ids: str, suffix_tokens: int) -> str:
    """Return the cache for the next call: the prompt's columns without the suffix, which new items will precede."""
    count = graph.size(ids, 0)
    if suffix_tokens:
        count = graph.op("Sub", count, graph.constant([suffix_tokens]))
    # No columns where nobody asked: the copies of all layers would be the call's largest tensors.
    count = graph.op("Mul", count, graph.op("Cast", WANTED, to=TensorProto.INT64))
    parts = [graph.first(found[name], count, axis=2) for layer in range(decoder.layers) for name in names(layer)]
    stacked = graph.op("Concat", *parts, axis=0)  # [2 · layers, kv_heads, tokens, head_size]
    head = [graph.constant([size]) for size in (decoder.layers, 2, decoder.kv_heads)]
    by_layer = graph.op("Concat", *head, count, graph.constant([decoder.head_size]), axis=0)
    return graph.op("Reshape", stacked, by_layer, allowzero=1)
