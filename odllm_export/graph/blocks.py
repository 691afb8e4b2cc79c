"""Decoder blocks: linears (dense or factored), attention with appended keys and values, the MLP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from odllm_export.errors import TensorError
from odllm_export.families.decoder import Decoder
from odllm_export.graph.builder import GraphBuilder
from odllm_export.graph.storage import Storage, Stored
from odllm_export.quantize import balance
from odllm_export.tensors import ModelTensors


@dataclass(frozen=True)
class Linear:
    """The weights of projections that read one input: dense `[in, out]`, or factors `[in, rank]` and `[rank, out]`.

    They are stacked: their dense matrices, or their input factors, become one product with the outputs split
    behind it. Where they share one input factor nothing is split: all outputs come of that product.
    """

    widths: tuple[int, ...]
    stacked: Stored
    output_factors: tuple[Stored | None, ...]
    biases: tuple[str | None, ...]


@dataclass(frozen=True)
class Loader:
    """Where weights come from, where they go and how they are stored there; `shared` are factors stored before."""

    graph: GraphBuilder
    tensors: ModelTensors
    storage: Storage
    shared: dict[str, Stored] = field(default_factory=dict)

    def vector(self, name: str, width: int) -> str:
        """Stream a vector as it is: norms and biases are small and everything depends on them."""
        return self.graph.weight(name, self.tensors.take(name, (width,)))


def load_linears(loader: Loader, names: Sequence[str], in_features: int, out_features: Sequence[int]) -> list[Linear]:
    """Stream the projections `names`, which share an input, and return them in as few stacks as possible.

    Raises:
        TensorError: a tensor is missing, misshapen, or both forms of one projection are there.
    """
    tensors = loader.tensors
    factored = [tensors.input_factor(name) in tensors for name in names]
    for name, is_factored in zip(names, factored, strict=True):
        if is_factored and f"{name}.weight" in tensors:
            raise TensorError(f"{tensors.folder} holds {name!r} both dense and factored")
    if any(len(tensors.readers(tensors.input_factor(name))) > 1 for name in names):
        return _load_shared(loader, names, in_features, out_features)
    load = _load_factored if factored[0] else _load_dense
    if len(set(factored)) > 1:  # mixed: keep the order of the outputs by loading one by one
        pairs = zip(names, out_features, strict=True)
        return [linear for n, o in pairs for linear in load_linears(loader, [n], in_features, [o])]
    return [load(loader, names, in_features, out_features)]


def _load_dense(loader: Loader, names: Sequence[str], in_features: int, out_features: Sequence[int]) -> Linear:
    pairs = list(zip(names, out_features, strict=True))
    dense = [loader.tensors.take(f"{name}.weight", (width, in_features)) for name, width in pairs]
    return Linear(
        widths=tuple(out_features),
        stacked=loader.storage.matrix(loader.graph, _stack_name(names), _stack(dense)),
        output_factors=(None,) * len(names),
        biases=tuple(_bias(loader, f"{name}.bias", width) for name, width in pairs),
    )


def _load_factored(loader: Loader, names: Sequence[str], in_features: int, out_features: Sequence[int]) -> Linear:
    tensors, inputs, outputs = loader.tensors, [], []
    for name, width in zip(names, out_features, strict=True):
        rank = tensors.shape(f"{name}.input_factor.weight")[0]
        factors = balance(
            tensors.take(f"{name}.input_factor.weight", (rank, in_features)),
            tensors.take(f"{name}.output_factor.weight", (width, rank)),
        )
        inputs.append(factors[0])
        outputs.append(loader.storage.matrix(loader.graph, f"{name}.output_factor", factors[1].T))
    return Linear(
        widths=tuple(len(factor) for factor in inputs),
        stacked=loader.storage.matrix(loader.graph, f"{_stack_name(names)}.input_factor", _stack(inputs)),
        output_factors=tuple(outputs),
        biases=tuple(
            _bias(loader, f"{name}.output_factor.bias", width) for name, width in zip(names, out_features, strict=True)
        ),
    )


def _load_shared(loader: Loader, names: Sequence[str], in_features: int, out_features: Sequence[int]) -> list[Linear]:
    """Return the projections that read through each input factor; what they share is stored with the first of them."""
    owners: dict[str, list[tuple[str, int]]] = {}
    for name, width in zip(names, out_features, strict=True):
        owners.setdefault(loader.tensors.input_factor(name), []).append((name, width))
    return [
        Linear(
            widths=(_shared_factor(loader, owner, in_features).shape[1],),
            stacked=loader.shared[owner],
            output_factors=tuple(loader.shared[f"{name}.output_factor"] for name, _ in readers),
            biases=tuple(_bias(loader, f"{name}.output_factor.bias", width) for name, width in readers),
        )
        for owner, readers in owners.items()
    ]


def _shared_factor(loader: Loader, owner: str, in_features: int) -> Stored:
    """Store an input factor and the output factors of all its readers, balanced together, unless that was done."""
    if owner not in loader.shared:
        tensors, storage = loader.tensors, loader.storage
        rank, readers = tensors.shape(owner)[0], tensors.readers(owner)
        names = [f"{name}.output_factor.weight" for name in readers]
        output_factors = [tensors.take(name, (tensors.shape(name)[0], rank)) for name in names]
        input_factor, stacked = balance(tensors.take(owner, (rank, in_features)), np.concatenate(output_factors))
        loader.shared[owner] = storage.matrix(loader.graph, owner.removesuffix(".weight"), input_factor.T)
        ends = np.cumsum([len(factor) for factor in output_factors])
        for name, rows in zip(readers, np.split(stacked, ends[:-1]), strict=True):
            key = f"{name}.output_factor"
            loader.shared[key] = storage.matrix(loader.graph, key, rows.T)
    return loader.shared[owner]


def _stack(matrices: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return `[in, sum of out]` from matrices `[out, in]`."""
    return (matrices[0] if len(matrices) == 1 else np.concatenate(matrices)).T


def _stack_name(names: Sequence[str]) -> str:
    block, _, _ = names[0].rpartition(".")
    return f"{block}.{'_'.join(name.rpartition('.')[2].removesuffix('_proj') for name in names)}"


def _bias(loader: Loader, name: str, width: int) -> str | None:
    return loader.vector(name, width) if name in loader.tensors else None


def apply_linears(
    body: GraphBuilder,
    storage: Storage,
    linears: Sequence[Linear],
    x: str,
    cut_first: Callable[[str], str] | None = None,
) -> list[str]:
    """Return the projections' outputs in order, for `x [1, tokens, in]`.

    `cut_first` takes the rows that the first output is wanted for from what the input factor made of all rows: of one
    `Linear` of a shared input factor.
    """
    results = []
    for linear in linears:
        hidden = storage.multiply(body, x, linear.stacked)
        parts = [hidden] * len(linear.output_factors)
        if len(linear.widths) > 1:
            parts = body.ops("Split", hidden, body.constant(linear.widths), outputs=len(linear.widths), axis=2)
        if cut_first is not None:
            parts[0] = cut_first(parts[0])
        for part, factor, bias in zip(parts, linear.output_factors, linear.biases, strict=True):
            y = storage.multiply(body, part, factor) if factor else part
            results.append(body.op("Add", y, bias) if bias else y)
    return results


@dataclass(frozen=True)
class Block:
    """The weights of one decoder block, as graph names; the norms of queries and keys where the family has them.

    Only the last rows go through a block that is `cut`. Its query is a matrix of its own, and `kv` the others, unless
    all three share an input factor; elsewhere `q` is all three and `kv` empty.
    """

    cut: bool
    attention_norm: str
    q_norm: str | None
    k_norm: str | None
    q: list[Linear]
    kv: list[Linear]
    o: list[Linear]
    mlp_norm: str
    gate_up: list[Linear]
    down: list[Linear]


def load_block(loader: Loader, decoder: Decoder, index: int, *, all_rows: bool = False, stacked: bool = True) -> Block:
    """Stream the weights of block `index`.

    The last block is cut, but with `all_rows`. Without `stacked` no product's output is split: each has a range of its
    own, for activations of few bits.
    """
    prefix, shapes = f"model.layers.{index}", decoder.projections

    def linears(*names: str) -> list[Linear]:
        (in_features,) = {shapes[name][1] for name in names}
        together = stacked or shares(names[0])
        stacks = [names] if together else [[name] for name in names]
        return [
            linear
            for stack in stacks
            for linear in load_linears(
                loader, [f"{prefix}.{name}" for name in stack], in_features, [shapes[name][0] for name in stack]
            )
        ]

    def shares(name: str) -> bool:
        return len(loader.tensors.readers(loader.tensors.input_factor(f"{prefix}.{name}"))) > 1

    def norm(name: str, width: int = decoder.hidden) -> str:
        return loader.vector(f"{prefix}.{name}.weight", width)

    def head_norm(name: str) -> str | None:
        return norm(name, decoder.head_size) if decoder.query_key_norms else None

    _check_biases(loader.tensors, decoder, prefix)
    cut = index == decoder.layers - 1 and not all_rows
    apart = cut and not shares("self_attn.q_proj")
    keys_values = ("self_attn.k_proj", "self_attn.v_proj")
    return Block(
        cut=cut,
        attention_norm=norm("input_layernorm"),
        q_norm=head_norm("self_attn.q_norm"),
        k_norm=head_norm("self_attn.k_norm"),
        q=linears("self_attn.q_proj", *(() if apart else keys_values)),
        kv=linears(*keys_values) if apart else [],
        o=linears("self_attn.o_proj"),
        mlp_norm=norm("post_attention_layernorm"),
        gate_up=linears("mlp.gate_proj", "mlp.up_proj"),
        down=linears("mlp.down_proj"),
    )


def _check_biases(tensors: ModelTensors, decoder: Decoder, prefix: str) -> None:
    for name in decoder.projections:
        stored = any(f"{prefix}.{name}.{bias}" in tensors for bias in ("bias", "output_factor.bias"))
        if stored != (name in decoder.biases):
            raise TensorError(
                f"{tensors.folder} {'holds' if stored else 'lacks'} a bias of {prefix}.{name}, "
                f"but config.json says that there is {'none' if stored else 'one'}"
            )


@dataclass(frozen=True)
class Rows:
    """What a block needs to know of the tokens that pass through it.

    The last three are read only behind `load_block` without `all_rows`.

    Attributes:
        positions: `[1, tokens]` int64; `[batch, tokens]` with `all_rows`.
        mask: `[tokens, keys]` bool: what each token may see; `[batch, 1, tokens, keys]` with `all_rows`.
        last: `[1]` int64, how many of the last tokens the search reads logits of.
        last_positions: `[1, last]`.
        last_mask: `[last, keys]`.
    """

    positions: str
    mask: str
    last: str = ""
    last_positions: str = ""
    last_mask: str = ""


def rms_norm(body: GraphBuilder, x: str, weight: str, decoder: Decoder) -> str:
    """Return the RMS-normalised `x`, over its last axis."""
    return body.op("RMSNormalization", x, weight, axis=-1, epsilon=decoder.norm_eps)


def _turned(
    body: GraphBuilder, decoder: Decoder, x: str, norm: str | None, caches: tuple[str, str], positions: str, heads: int
) -> str:
    """Return queries or keys `[1, tokens, heads · head_size]`, normalised head by head if asked, then turned."""
    if norm is not None:
        split = body.op("Reshape", x, body.constant([0, 0, heads, decoder.head_size]))
        x = body.op("Reshape", rms_norm(body, split, norm, decoder), body.constant([0, 0, heads * decoder.head_size]))
    return body.op("RotaryEmbedding", x, *caches, positions, num_heads=heads)


def cut_queries(
    body: GraphBuilder, storage: Storage, block: Block, x: str, cut: Callable[[str], str]
) -> tuple[str, str, str]:
    """Return queries of the rows that `cut` takes, and keys and values of all rows, of a block that is cut."""
    if block.kv:
        (queries,) = apply_linears(body, storage, block.q, cut(x))
        keys, values = apply_linears(body, storage, block.kv, x)
    else:
        queries, keys, values = apply_linears(body, storage, block.q, x, cut)
    return queries, keys, values


def apply_block(
    body: GraphBuilder,
    storage: Storage,
    block: Block,
    decoder: Decoder,
    caches: tuple[str, str],
    x: str,
    rows: Rows,
    past: tuple[str, str],
) -> tuple[str, str, str]:
    """Run one block; return its output and the grown keys and values.

    Args:
        body: where nodes go.
        storage: of the weights.
        block: weights.
        decoder: shape.
        caches: cosines and sines of the rotary embedding.
        x: `[1, tokens, hidden]`.
        rows: positions and masks.
        past: keys and values so far, each `[1, kv_heads, past, head_size]`.

    Returns:
        `[1, tokens, hidden]`, or `[1, last, hidden]` behind the last block; then keys and values.
    """
    normed = rms_norm(body, x, block.attention_norm, decoder)
    mask, query_positions = rows.mask, rows.positions
    if block.cut:  # only the rows whose logits are read go on

        def cut(value: str) -> str:
            return body.last(value, rows.last, axis=1)

        queries, keys, values = cut_queries(body, storage, block, normed, cut)
        x, mask, query_positions = cut(x), rows.last_mask, rows.last_positions
    else:
        queries, keys, values = apply_linears(body, storage, block.q, normed)
    queries = _turned(body, decoder, queries, block.q_norm, caches, query_positions, decoder.heads)
    keys = _turned(body, decoder, keys, block.k_norm, caches, rows.positions, decoder.kv_heads)
    attended, keys, values = body.ops(
        "Attention",
        queries,
        keys,
        values,
        mask,
        *past,
        outputs=3,
        q_num_heads=decoder.heads,
        kv_num_heads=decoder.kv_heads,
    )
    (projected,) = apply_linears(body, storage, block.o, attended)
    x = body.op("Add", x, projected)
    gate, up = apply_linears(body, storage, block.gate_up, rms_norm(body, x, block.mlp_norm, decoder))
    # x * sigmoid(x) is fused by the runtime; opset 24's Swish has no CPU kernel there.
    gate = body.op("Mul", gate, body.op("Sigmoid", gate))
    (down,) = apply_linears(body, storage, block.down, body.op("Mul", gate, up))
    return body.op("Add", x, down), keys, values
