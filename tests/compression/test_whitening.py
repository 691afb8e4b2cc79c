import math

import pytest
import torch

from compression.errors import CalibrationError
from compression.whitening import no_whitening, whiten


def covariance_of(tokens, size, seed=0):
    rows = torch.randn(tokens, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return rows.mT @ rows / tokens


def test_whitened_covariance_is_the_identity():
    covariance = covariance_of(400, 24)
    whitening = whiten(covariance, 0.0)
    assert whitening.report.route == "cholesky"
    assert whitening.report.events == ()
    inverse = whitening.unweigh(torch.eye(24, dtype=torch.float64))  # S⁻¹
    torch.testing.assert_close(
        inverse @ covariance @ inverse.mT, torch.eye(24, dtype=torch.float64), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("shrinkage", [0.0, 1e-3])
@pytest.mark.parametrize("tokens", [400, 6])
def test_both_routes_factor_the_shrunk_covariance(tokens, shrinkage):
    covariance = covariance_of(tokens, 24)
    whitening = whiten(covariance, shrinkage)
    factor = whitening.weigh(torch.eye(24, dtype=torch.float64))  # S
    shrunk = covariance + shrinkage * covariance.trace() / 24 * torch.eye(24, dtype=torch.float64)
    torch.testing.assert_close(factor @ factor.mT, shrunk, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("tokens", [400, 6])
def test_solves_undo_the_weighing(tokens):
    whitening = whiten(covariance_of(tokens, 24), 1e-3)
    weight = torch.randn(5, 24, dtype=torch.float64)
    torch.testing.assert_close(whitening.unweigh(whitening.weigh(weight)), weight, rtol=1e-8, atol=1e-9)
    factor = whitening.weigh(torch.eye(24, dtype=torch.float64))
    torch.testing.assert_close(whitening.weigh_cross(weight @ factor.mT), weight, rtol=1e-8, atol=1e-9)


def test_a_singular_covariance_takes_the_eigen_route_and_says_so():
    whitening = whiten(covariance_of(6, 24), 0.0)
    assert whitening.report.route == "eigen"
    assert "singular covariance: 18 of 24 eigenvalues lifted" in whitening.report.events[0]
    assert 1 < whitening.report.effective_rank <= 6
    assert torch.isfinite(whitening.unweigh(torch.eye(24, dtype=torch.float64))).all()


def test_shrinkage_makes_a_singular_covariance_regular_and_is_reported():
    report = whiten(covariance_of(6, 24), 1e-4).report
    assert (report.route, report.shrinkage, report.events) == ("cholesky", 1e-4, ())
    assert report.condition < 1e6


def test_constant_inputs_have_one_direction():
    row = torch.randn(1, 8, dtype=torch.float64)
    report = whiten(row.mT @ row, 0.0).report
    assert report.route == "eigen"
    assert report.effective_rank == pytest.approx(1, abs=1e-9)


def test_zero_inputs_are_left_alone_and_recorded():
    whitening = whiten(torch.zeros(4, 4, dtype=torch.float64), 1e-3)
    assert whitening.report.route == "identity"
    assert "all inputs are zero" in whitening.report.events[0]
    weight = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(whitening.unweigh(whitening.weigh(weight)), weight)


def test_condition_and_effective_rank_of_a_known_spectrum():
    report = whiten(torch.diag(torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)), 0.0).report
    assert report.condition == pytest.approx(8)
    flat = whiten(torch.eye(4, dtype=torch.float64), 0.0).report
    assert flat.effective_rank == pytest.approx(4)


def test_no_whitening_still_reports_the_covariance():
    report = no_whitening(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64))).report
    assert (report.route, report.condition, report.events) == ("identity", pytest.approx(4), ())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_covariance_that_is_not_finite_is_refused(value):
    covariance = torch.eye(3, dtype=torch.float64)
    covariance[1, 1] = value
    with pytest.raises(CalibrationError, match=r"holds NaN or infinite values\. Look for them"):
        whiten(covariance, 1e-3)


def test_a_whitening_without_description_is_the_same_and_as_careful():
    rows = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    covariance = rows.mT @ rows / 40
    told, untold = (whiten(covariance, 1e-4, described=described) for described in (True, False))
    assert torch.equal(told.matrix, untold.matrix)
    assert math.isnan(untold.report.condition)
    singular = covariance.clone()
    singular[0] = singular[:, 0] = 0
    assert whiten(singular, 0.0, described=False).report.route == "eigen"
