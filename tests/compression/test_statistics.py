import copy

import numpy as np
import pytest
import torch

from compression.blocks import embed
from compression.calibration import CalibrationBatch
from compression.errors import CalibrationError
from compression.lowrank import GROUPS
from compression.statistics import Streams, collect_moments

BY_NAME = {group.name: group for group in GROUPS}


def streams_of(model, batches, noise=0.0):
    with torch.no_grad():
        embedded = [embed(model, batch) for batch in batches]
    generator = torch.Generator().manual_seed(1)
    dense = [hidden for hidden, _ in embedded]
    shifted = [hidden + noise * torch.randn(hidden.shape, generator=generator) for hidden in dense]
    return Streams([inputs for _, inputs in embedded], dense, shifted)


@torch.no_grad()
def collect(model, streams, group, *, dense=True, residual=True):
    block = model.model.layers[0]
    return collect_moments(
        streams, block, block, BY_NAME[group], block_name="model.layers.0", dense=dense, residual=residual
    )


@torch.no_grad()
def test_moments_are_those_of_a_float64_oracle(llama, batches):
    streams = streams_of(llama, batches, noise=0.3)
    moments = collect(llama, streams, "attention_input")
    norm = llama.model.layers[0].input_layernorm
    rows = [
        np.concatenate([norm(h)[i.keep].double().numpy() for h, i in zip(hidden, streams.inputs, strict=True)])
        for hidden in (streams.dense, streams.shifted)
    ]
    X, shifted = rows
    assert moments.tokens == len(X)
    np.testing.assert_allclose(moments.dense.numpy(), X.T @ X / len(X), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(moments.shifted.numpy(), shifted.T @ shifted / len(X), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(moments.cross.numpy(), X.T @ shifted / len(X), rtol=1e-10, atol=1e-12)
    W = llama.model.layers[0].self_attn.k_proj.weight.double().numpy()
    energies = moments.energies["self_attn.k_proj"]
    assert energies.dense == pytest.approx(np.square(X @ W.T).sum() / len(X), rel=1e-5)
    blend = 0.3 * X @ W.T + 0.7 * shifted @ W.T
    assert energies.blended(0.3) == pytest.approx(np.square(blend).sum() / len(X), rel=1e-5)


@torch.no_grad()
def test_the_drift_of_the_residual_stream_is_collected_where_it_matters(llama, batches):
    streams = streams_of(llama, batches, noise=0.3)
    assert collect(llama, streams, "mlp_input").drift is None
    assert collect(llama, streams, "attention_output", residual=False).drift is None
    moments = collect(llama, streams, "attention_output", dense=False)
    assert moments.dense is None
    drift = torch.cat([(h - s)[i.keep] for h, s, i in zip(streams.dense, streams.shifted, streams.inputs, strict=True)])
    assert moments.drift.shape == (32, 32)
    energies = moments.energies["self_attn.o_proj"]
    plain = collect(llama, streams, "attention_output", residual=False).energies["self_attn.o_proj"]
    assert energies.shifted == pytest.approx(plain.shifted)
    assert energies.dense != pytest.approx(plain.dense, rel=0.01)
    assert float(drift.square().sum()) > 0


@pytest.mark.parametrize("group", list(BY_NAME))
@pytest.mark.parametrize("side", ["left", "right"])
def test_adding_padding_changes_nothing(llama, batches, group, side):
    padded = []
    for batch in batches:
        zeros = torch.zeros(len(batch.input_ids), 5, dtype=torch.int64)
        junk = zeros + 17  # a token that would show if it were counted
        order = (0, 1) if side == "left" else (1, 0)
        ids, mask = ([(junk, batch.input_ids), (zeros, batch.attention_mask)][i] for i in (0, 1))
        padded.append(CalibrationBatch(*(torch.cat([pair[i] for i in order], dim=1) for pair in (ids, mask))))
    plain = collect(llama, streams_of(llama, batches), group)
    with_padding = collect(llama, streams_of(llama, padded), group)
    assert with_padding.tokens == plain.tokens
    for name in ("dense", "shifted", "cross"):
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
        moments = collect_moments(
            streams_of(llama, batches),
            llama.model.layers[0],
            other,
            BY_NAME["attention_input"],
            block_name="model.layers.0",
            dense=True,
            residual=True,
        )
    torch.testing.assert_close(moments.shifted, 4 * moments.dense, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("projection", "group", "message"),
    [
        (
            "self_attn.v_proj",
            "attention_input",
            r"outputs of model\.layers\.0\.self_attn\.v_proj \(dense model, batch 0",
        ),
        ("self_attn.v_proj", "attention_output", r"inputs at model\.layers\.0\.self_attn\.o_proj.*Check the weights"),
        ("mlp.up_proj", "mlp_output", r"inputs at model\.layers\.0\.mlp\.down_proj.*load the model in float32"),
    ],
)
def test_activations_that_are_not_finite_name_the_layer(llama, batches, projection, group, message):
    with torch.no_grad():
        llama.model.layers[0].get_submodule(projection).weight[0, 0] = float("nan")
    with pytest.raises(CalibrationError, match=message):
        collect(llama, streams_of(llama, batches), group)


def test_a_residual_stream_that_is_not_finite_is_named(llama, batches):
    streams = streams_of(llama, batches)
    streams.shifted[0][0, 0, 0] = float("inf")
    with pytest.raises(CalibrationError, match=r"layers\.0\.self_attn\.o_proj \(compressed model, batch 0\)"):
        collect(llama, streams, "attention_output")
