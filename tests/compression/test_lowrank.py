import pytest
import torch
from torch import nn

from compression.errors import RankError, UnsupportedModelError
from compression.lowrank import LowRankLinear, factored_linears, projection_names, replace_linear


@pytest.mark.parametrize("bias", [False, True])
def test_forward_is_the_product_of_the_factors(bias):
    layer = LowRankLinear(6, 5, 3, bias=bias)
    inputs = torch.randn(2, 4, 6)
    A, B = layer.output_factor.weight.double(), layer.input_factor.weight.double()
    expected = inputs.double() @ B.mT @ A.mT
    if bias:
        expected = expected + layer.output_factor.bias.double()
    torch.testing.assert_close(layer(inputs).double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.dense_weight().double(), A @ B, rtol=1e-5, atol=1e-6)


def test_from_factors_keeps_the_tensors_and_draws_no_random_numbers():
    A, B, bias = torch.randn(5, 2), torch.randn(2, 6), torch.randn(5)
    state = torch.get_rng_state()
    layer = LowRankLinear.from_factors(A, B, bias)
    assert torch.equal(torch.get_rng_state(), state)
    assert (layer.in_features, layer.out_features, layer.rank) == (6, 5, 2)
    assert torch.equal(layer.output_factor.weight, A)
    assert torch.equal(layer.input_factor.weight, B)
    assert torch.equal(layer.output_factor.bias, bias)


@pytest.mark.parametrize("rank", [0, -1, 7])
def test_rank_out_of_range_says_what_fits(rank):
    with pytest.raises(RankError, match=rf"rank {rank} does not fit a matrix of 5 × 6: expected 1 to 6"):
        LowRankLinear(6, 5, rank)


def test_factors_of_different_rank_are_refused():
    with pytest.raises(RankError, match=r"rank 2 \(output\) and 3 \(input\)"):
        LowRankLinear.from_factors(torch.zeros(5, 2), torch.zeros(3, 6))


def test_seven_projections_a_block_are_named_and_replaced(llama):
    names = projection_names(llama)
    assert len(names) == 14
    assert names[:2] == ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj"]
    replace_linear(llama, names[1], LowRankLinear(32, 16, 4))
    assert list(factored_linears(llama)) == [names[1]]
    assert llama.model.layers[0].self_attn.k_proj.rank == 4


def test_a_model_without_blocks_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"Linear has no `model\.layers`"):
        projection_names(nn.Linear(2, 2))
