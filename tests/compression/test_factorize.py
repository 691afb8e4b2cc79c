import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.errors import RankError
from compression.factorize import balance, factorize, factorize_weight
from compression.whitening import no_whitening, whiten

ROUTES = ("cholesky", "eigen", "gram")


def problem(rows, columns, tokens=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, dtype=torch.float64, generator=generator)
    inputs = torch.randn(tokens, columns, dtype=torch.float64, generator=generator)
    inputs = inputs * torch.logspace(0, -1.5, columns, dtype=torch.float64)
    return weight, inputs


@pytest.mark.parametrize(("rows", "columns"), [(12, 20), (20, 12), (16, 16)])
def test_measured_loss_is_the_dropped_singular_values(rows, columns):
    weight, inputs = problem(rows, columns)
    whitening = whiten(inputs.mT @ inputs, 0.0)
    factors = factorize(whitening.weigh(weight), whitening, 5)
    # Oracle: numpy, from the inputs themselves.
    W, X, approximation = weight.numpy(), inputs.numpy().T, factors.product.numpy()
    measured = np.linalg.norm(W @ X - approximation @ X) ** 2
    dropped = (np.linalg.svd(W @ X, compute_uv=False)[5:] ** 2).sum()
    assert measured == pytest.approx(dropped, rel=1e-6)
    assert factors.dropped_energy == pytest.approx(dropped, rel=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(12, 20), (20, 12)])
def test_all_routes_lead_to_the_same_optimum(rows, columns):
    weight, inputs = problem(rows, columns)
    found = [factorize_weight(weight, whiten(inputs.mT @ inputs, 1e-6, route), 5) for route in ROUTES]
    for other in found[1:]:
        torch.testing.assert_close(other.product, found[0].product, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(other.singular_values[:5], found[0].singular_values[:5], rtol=1e-9, atol=0)
        assert other.dropped_energy == pytest.approx(found[0].dropped_energy, rel=1e-9)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("case", ["singular", "nearly singular", "two tokens", "constant", "zero"])
def test_every_route_is_optimal_on_hard_inputs(route, case):
    weight, inputs = problem(12, 20)
    inputs = {
        "singular": torch.cat([inputs[:, :15], inputs[:, :5]], dim=1),
        "nearly singular": inputs * torch.logspace(0, -7, 20, dtype=torch.float64),
        "two tokens": inputs[:2],
        "constant": torch.ones_like(inputs),
        "zero": torch.zeros_like(inputs),
    }[case]
    factors = factorize_weight(weight, whiten(inputs.mT @ inputs / len(inputs), 0.0, route), 4)
    assert bool(torch.isfinite(factors.product).all())
    outputs = weight.numpy() @ inputs.numpy().T
    missed = np.linalg.norm(outputs - factors.product.numpy() @ inputs.numpy().T)
    best = np.sqrt((np.linalg.svd(outputs, compute_uv=False)[4:] ** 2).sum())
    assert missed <= best * (1 + 1e-6) + 1e-6 * np.linalg.norm(outputs)


@pytest.mark.parametrize(("rows", "columns"), [(12, 20), (20, 12)])
def test_singular_values_are_numpys(rows, columns):
    weight, inputs = problem(rows, columns)
    factors = factorize(weight, no_whitening(inputs.mT @ inputs), 3)
    expected = np.linalg.svd(weight.numpy(), compute_uv=False)
    np.testing.assert_allclose(factors.singular_values.numpy(), expected, rtol=1e-9)


def test_the_components_are_balanced():
    weight, inputs = problem(12, 20)
    whitening = whiten(inputs.mT @ inputs, 0.0)
    factors = factorize(whitening.weigh(weight), whitening, 6)
    torch.testing.assert_close(factors.output_factor.norm(dim=0), factors.input_factor.norm(dim=1))


def test_a_matrix_of_lower_rank_gives_zero_components_not_nan():
    weight = torch.ones(4, 6, dtype=torch.float64)
    factors = factorize(weight, no_whitening(torch.eye(6, dtype=torch.float64)), 3)
    torch.testing.assert_close(factors.product, weight)
    assert torch.isfinite(factors.input_factor).all()


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), rank=st.integers(1, 9), seed=st.integers(0, 99))
def test_balancing_leaves_the_product_alone(rows, columns, rank, seed):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(rows, rank, dtype=torch.float64, generator=generator)
    B = torch.randn(rank, columns, dtype=torch.float64, generator=generator) * 1e4
    A[:, 0] = 0
    balanced_A, balanced_B = balance(A, B)
    torch.testing.assert_close(balanced_A @ balanced_B, A @ B, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(balanced_A.norm(dim=0), balanced_B.norm(dim=1))


@pytest.mark.parametrize("rank", [0, 5])
def test_a_rank_that_does_not_fit_is_refused(rank):
    with pytest.raises(RankError, match=rf"rank {rank} does not fit a matrix of 4 × 6: expected 1 to 4. Lower"):
        factorize(torch.ones(4, 6, dtype=torch.float64), no_whitening(torch.eye(6, dtype=torch.float64)), rank)
