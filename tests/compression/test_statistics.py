import copy

import numpy as np
import pytest
import torch

from compression.blocks import HALVES, embed
from compression.calibration import CalibrationBatch
from compression.errors import CalibrationError
from compression.importance import OutputRoot
from compression.moment_sum import ROWS_AT_ONCE
from compression.statistics import Streams, input_moments, output_moments

ATTENTION, MLP = HALVES
KINDS = ["attention_input", "attention_output", "mlp_input", "mlp_output"]


def streams_of(model, batches, noise=0.0):
    with torch.no_grad():
        embedded = [embed(model, batch) for batch in batches]
    generator = torch.Generator().manual_seed(1)
    dense = [hidden for hidden, _ in embedded]
    shifted = [hidden + noise * torch.randn(hidden.shape, generator=generator) for hidden in dense]
    return Streams([inputs for _, inputs in embedded], dense, shifted)


@torch.no_grad()
def collect(model, streams, kind, *, dense=True, residual=True, shifted_block=None):
    block = model.model.layers[0]
    blocks = (block, block if shifted_block is None else shifted_block)
    half = ATTENTION if kind.startswith("attention") else MLP
    if kind.endswith("input"):
        return input_moments(streams, *blocks, half, block_name="model.layers.0")
    return output_moments(streams, *blocks, half, block_name="model.layers.0", dense=dense, residual=residual)


def seen_by(model, hidden, inputs, projection):
    """What the whole block's forward gives a projection, real tokens only, float64 numpy `[tokens, n]`."""
    found = []
    module = model.model.layers[0].get_submodule(projection)
    with module.register_forward_pre_hook(lambda module, args: found.append(args[0])):
        model.model.layers[0](
            hidden, attention_mask=inputs.attention_mask, position_embeddings=inputs.position_embeddings
        )
    return found[0][inputs.keep].double().numpy()


@torch.no_grad()
def oracle_rows(model, streams, projection):
    return tuple(
        np.concatenate(
            [seen_by(model, hidden, inputs, projection) for hidden, inputs in zip(states, streams.inputs, strict=True)]
        )
        for states in (streams.dense, streams.shifted)
    )


@pytest.mark.parametrize(
    ("kind", "projection", "half"),
    [("attention_input", "self_attn.k_proj", ATTENTION), ("mlp_input", "mlp.up_proj", MLP)],
)
def test_input_moments_are_those_of_a_float64_oracle(llama, batches, kind, projection, half):
    streams = streams_of(llama, batches, noise=0.3)
    X, shifted = oracle_rows(llama, streams, projection)
    if half is MLP:  # the oracle ran the whole block: the streams stand in front of its second half
        with torch.no_grad():
            streams.advance_dense(llama.model.layers[0], ATTENTION)
            streams.advance_shifted(llama.model.layers[0], ATTENTION)
    moments = collect(llama, streams, kind)
    assert moments.tokens == len(X)
    for found, expected in ((moments.dense, X.T @ X), (moments.shifted, shifted.T @ shifted)):
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), expected / len(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(moments.cross.numpy(), X.T @ shifted / len(X), rtol=1e-9, atol=1e-12)
    weight = llama.model.layers[0].get_submodule(projection).weight.detach().double()
    cross, energy = moments.aim(weight)
    P = X @ weight.numpy().T
    np.testing.assert_allclose(cross.numpy(), P.T @ shifted / len(X), rtol=1e-9, atol=1e-12)
    assert energy == pytest.approx(np.square(P).sum() / len(X), rel=1e-9)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_output_moments_are_those_of_a_float64_oracle(make_llama, batches, residual, bias):
    model = make_llama(attention_bias=bias)
    streams = streams_of(model, batches, noise=0.3)
    X, shifted = oracle_rows(model, streams, "self_attn.o_proj")
    before = [hidden.clone() for hidden in streams.dense]
    drift = torch.cat([(h - s)[i.keep] for h, s, i in zip(streams.dense, streams.shifted, streams.inputs, strict=True)])
    moments = collect(model, streams, "attention_output", residual=residual)
    linear = model.model.layers[0].self_attn.o_proj
    P = X @ linear.weight.detach().double().numpy().T + (drift.double().numpy() if residual else 0)
    cross, energy = moments.aim(linear.weight.detach().double())
    np.testing.assert_allclose(cross.numpy(), P.T @ shifted / len(X), rtol=1e-4, atol=1e-6)
    assert energy == pytest.approx(np.square(P).sum() / len(X), rel=1e-5)
    np.testing.assert_allclose(moments.dense.numpy(), X.T @ X / len(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(moments.shifted.numpy(), shifted.T @ shifted / len(X), rtol=1e-9, atol=1e-12)
    with torch.no_grad():  # and the dense stream, not the shifted one, stands behind the half
        moved = streams_of(model, batches)
        moved.dense = before
        moved.advance_dense(model.model.layers[0], ATTENTION)
    assert all(torch.equal(a, b) for a, b in zip(streams.dense, moved.dense, strict=True))


def test_what_nothing_asks_for_is_not_taken(llama, batches):
    moments = collect(llama, streams_of(llama, batches), "mlp_output", dense=False)
    assert moments.dense is None
    assert moments.cross is None
    assert moments.output_cross.shape == (32, 48)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_adding_padding_changes_nothing(llama, batches, kind, side):
    padded = []
    for batch in batches:
        zeros = torch.zeros(len(batch.input_ids), 5, dtype=torch.int64)
        junk = zeros + 17  # a token that would show if it were counted
        order = (0, 1) if side == "left" else (1, 0)
        ids, mask = ([(junk, batch.input_ids), (zeros, batch.attention_mask)][i] for i in (0, 1))
        padded.append(CalibrationBatch(*(torch.cat([pair[i] for i in order], dim=1) for pair in (ids, mask))))
    plain = collect(llama, streams_of(llama, batches), kind)
    with_padding = collect(llama, streams_of(llama, padded), kind)
    assert with_padding.tokens == plain.tokens
    for name in ("dense", "shifted", "cross" if kind.endswith("input") else "output_cross"):
        torch.testing.assert_close(getattr(with_padding, name), getattr(plain, name), rtol=1e-4, atol=1e-5)


def test_moments_do_not_depend_on_how_sequences_are_batched(llama, make_batches):
    lengths = (8,) * 12
    whole, split = make_batches(lengths, size=12), make_batches(lengths, size=12)
    split = [CalibrationBatch(b.input_ids[i : i + 4], b.attention_mask[i : i + 4]) for b in split for i in (0, 4, 8)]
    one, three = (collect(llama, streams_of(llama, b), "mlp_output") for b in (whole, split))
    torch.testing.assert_close(one.shifted, three.shifted, rtol=1e-5, atol=1e-7)


def test_the_shifted_block_may_be_another_one(llama, batches):
    other = copy.deepcopy(llama.model.layers[0])
    with torch.no_grad():
        other.input_layernorm.weight.mul_(2)
    moments = collect(llama, streams_of(llama, batches), "attention_input", shifted_block=other)
    torch.testing.assert_close(moments.shifted, 4 * moments.dense, rtol=1e-5, atol=1e-8)


def test_batches_of_more_tokens_than_are_converted_at_once_count_whole(llama):
    length = ROWS_AT_ONCE // 32 + 1
    ids = torch.randint(1, 61, (32, length), generator=torch.Generator().manual_seed(0))
    whole = CalibrationBatch(ids, torch.ones_like(ids))
    parts = [CalibrationBatch(part, torch.ones_like(part)) for part in ids.split(8)]
    one, four = (collect(llama, streams_of(llama, b), "attention_input") for b in ([whole], parts))
    assert one.tokens == four.tokens == 32 * length
    torch.testing.assert_close(one.shifted, four.shifted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("stream", "kind", "message"),
    [
        ("dense", "attention_input", r"batch 1: dense inputs at model\.layers\.0\.self_attn\.q_proj\. Check"),
        ("shifted", "attention_input", r"batch 1: compressed inputs at model\.layers\.0\.self_attn\.q_proj\."),
        ("dense", "mlp_output", r"batch 1: dense inputs at model\.layers\.0\.mlp\.down_proj\."),
        ("shifted", "attention_output", r"batch 1: compressed inputs at model\.layers\.0\.self_attn\.o_proj\."),
    ],
)
def test_activations_that_are_not_finite_name_the_layer(llama, batches, stream, kind, message):
    streams = streams_of(llama, batches)
    getattr(streams, stream)[1][0, 0, 0] = float("inf")
    with pytest.raises(CalibrationError, match=message):
        collect(llama, streams, kind)


def test_outputs_that_are_not_finite_name_the_layer(llama, batches):
    with torch.no_grad():
        llama.model.layers[0].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(CalibrationError, match=r"outputs of model\.layers\.0\.mlp\.down_proj\..*compute in float32"):
        collect(llama, streams_of(llama, batches), "mlp_output")


@torch.no_grad()
def test_float32_products_give_the_same_moments_but_for_rounding(llama, batches):
    rows = llama.model.layers[0].self_attn.o_proj.out_features
    root = OutputRoot(
        (torch.randn(rows, rows, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).tril(),)
    )
    found = []
    for products in (torch.float64, torch.float32):
        streams, block = streams_of(llama, batches, noise=0.3), llama.model.layers[0]
        options = {"block_name": "model.layers.0", "products": products}
        found.append(
            (
                input_moments(streams, block, block, ATTENTION, **options),
                output_moments(streams, block, block, ATTENTION, dense=True, residual=True, root=root, **options),
            )
        )
    for exact, rounded in zip(*found, strict=True):
        for name in ("shifted", "dense", "cross", "output_cross"):
            expected, value = getattr(exact, name), getattr(rounded, name)
            if expected is not None:
                assert value.dtype == torch.float64
                torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
        assert rounded.output_energy == pytest.approx(exact.output_energy, rel=1e-5)


@torch.no_grad()
def test_the_moments_of_weighed_outputs_are_the_weighed_moments(llama, batches):
    rows = llama.model.layers[0].self_attn.o_proj.out_features
    root = OutputRoot(
        (torch.randn(rows, rows, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).tril(),)
    )
    plain, weighed = (
        output_moments(
            streams_of(llama, batches, noise=0.3),
            llama.model.layers[0],
            llama.model.layers[0],
            ATTENTION,
            block_name="model.layers.0",
            dense=False,
            residual=True,
            root=one,
        )
        for one in (None, root)
    )
    torch.testing.assert_close(weighed.output_cross, root.triangles[0].mT @ plain.output_cross)
    assert weighed.output_energy != pytest.approx(plain.output_energy, rel=0.01)


@pytest.mark.parametrize("half", HALVES)
@torch.no_grad()
def test_a_stream_moved_by_kept_inputs_is_where_another_run_leads(llama, batches, half):
    block, found = llama.model.layers[0], []
    for keep in (False, True):
        streams = streams_of(llama, batches, noise=0.3)
        output_moments(streams, block, block, half, block_name="model.layers.0", dense=False, residual=True, keep=keep)
        assert len(streams.last) == (len(batches) if keep else 0)
        streams.advance_shifted(block, half)
        assert not streams.last
        found.append(streams.shifted)
    for again, kept in zip(*found, strict=True):
        torch.testing.assert_close(kept, again)
