import numpy as np
import pytest
import torch

from compression.alignment import align, make_target
from compression.statistics import Energies, Moments
from compression.whitening import whiten

ROWS, COLUMNS, RANK = 14, 18, 5


class Problem:
    """Dense and shifted inputs of one projection, with a drift, and its moments; everything float64."""

    def __init__(self, tokens=300, drift=0.0, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def randn(*shape):
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        spread = torch.logspace(0, -1.5, COLUMNS, dtype=torch.float64)
        self.weight = randn(ROWS, COLUMNS)
        self.dense = randn(tokens, COLUMNS) * spread
        self.shifted = self.dense @ (torch.eye(COLUMNS, dtype=torch.float64) + 0.2 * randn(COLUMNS, COLUMNS))
        self.drift = drift * self.shifted @ randn(COLUMNS, ROWS) + drift * randn(tokens, ROWS)
        target, output = self.dense @ self.weight.mT + self.drift, self.shifted @ self.weight.mT
        energies = Energies(
            *(float((a * b).sum()) / tokens for a, b in ((target, target), (target, output), (output, output)))
        )
        self.moments = Moments(
            tokens,
            self.shifted.mT @ self.shifted / tokens,
            self.dense.mT @ self.shifted / tokens,
            self.dense.mT @ self.dense / tokens,
            self.drift.mT @ self.shifted / tokens if drift else None,
            {"p": energies},
        )

    def rows(self, alpha):
        """The target itself, `[tokens, m]`."""
        dense = self.dense @ self.weight.mT + self.drift
        return alpha * dense + (1 - alpha) * self.shifted @ self.weight.mT

    def solve(self, alignment, alpha, rank=RANK, shrinkage=0.0, **options):
        covariance = self.moments.shifted if alignment == "free" else self.moments.dense
        return align(
            self.weight,
            make_target(self.weight, self.moments, "p", alpha),
            whiten(covariance, shrinkage),
            rank,
            alignment=alignment,
            tokens=self.moments.tokens,
            **options,
        )

    def measured(self, aligned, alpha):
        target = self.rows(alpha)
        missed = target - self.shifted @ aligned.factors.product.mT
        return float(missed.square().sum() / target.square().sum())


@pytest.mark.parametrize("alignment", ["none", "update", "alternating", "free"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("drift", [0.0, 0.4])
def test_reported_losses_are_the_measured_ones(alignment, alpha, drift):
    problem = Problem(drift=drift)
    aligned = problem.solve(alignment, alpha)
    assert aligned.loss_after == pytest.approx(problem.measured(aligned, alpha), rel=1e-8)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("drift", [0.0, 0.4])
def test_free_beats_update_beats_whitening_on_shifted_inputs(alpha, drift):
    problem = Problem(drift=drift)
    free, update, none = (problem.solve(alignment, alpha).loss_after for alignment in ("free", "update", "none"))
    assert free <= update <= none
    assert free < 0.95 * none


def test_every_turn_of_alternating_gains_and_the_end_is_the_free_solution():
    problem = Problem(drift=0.4)
    update, free = problem.solve("update", 0.5), problem.solve("free", 0.5)
    losses = [problem.solve("alternating", 0.5, sweeps=sweeps).loss_after for sweeps in (1, 4, 200)]
    assert update.loss_after > losses[0] > losses[1] > losses[2]
    assert losses[2] == pytest.approx(free.loss_after, rel=1e-6)


def test_free_is_the_best_rank_r_solution_of_a_numpy_oracle():
    problem = Problem()
    X, T = problem.shifted.numpy().T, problem.rows(1.0).numpy().T
    # Oracle: project the target on the row space of X', cut there (Eckart and Young), go back by lstsq.
    _, _, basis = np.linalg.svd(X, full_matrices=False)
    U, S, V = np.linalg.svd(T @ basis.T, full_matrices=False)
    best = np.linalg.lstsq(X.T, (U[:, :RANK] * S[:RANK] @ V[:RANK] @ basis).T, rcond=None)[0].T
    aligned = problem.solve("free", 1.0)
    np.testing.assert_allclose(aligned.factors.product.numpy(), best, rtol=1e-7, atol=1e-9)


def test_update_is_the_least_squares_refit_of_a_numpy_oracle():
    problem = Problem()
    aligned, plain = problem.solve("update", 0.5), problem.solve("none", 0.5)
    Z = plain.factors.input_factor.numpy() @ problem.shifted.numpy().T
    A = np.linalg.lstsq(Z.T, problem.rows(0.5).numpy(), rcond=None)[0].T
    expected = A @ plain.factors.input_factor.numpy()
    np.testing.assert_allclose(aligned.factors.product.numpy(), expected, rtol=1e-7, atol=1e-9)


def test_without_shift_alignment_changes_nothing():
    problem = Problem()
    problem.moments = Moments(
        300,
        problem.moments.dense,
        problem.moments.dense,
        problem.moments.dense,
        None,
        {"p": Energies(*[problem.moments.energies["p"].dense] * 3)},
    )
    products = [problem.solve(alignment, 1.0).factors.product for alignment in ("free", "update", "none")]
    torch.testing.assert_close(products[0], products[2], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(products[1], products[2], rtol=1e-7, atol=1e-9)


def test_aiming_at_the_drift_repairs_it():
    problem = Problem(drift=0.4)
    blind = Problem(drift=0.4)
    blind.moments = Moments(300, blind.moments.shifted, blind.moments.cross, None, None, blind.moments.energies)
    assert problem.measured(problem.solve("free", 1.0), 1.0) < 0.9 * problem.measured(blind.solve("free", 1.0), 1.0)


def test_the_factors_are_balanced_after_an_update():
    factors = Problem().solve("update", 1.0).factors
    torch.testing.assert_close(factors.output_factor.norm(dim=0), factors.input_factor.norm(dim=1))


@pytest.mark.parametrize(
    ("alignment", "tokens", "needed"), [("free", 10, COLUMNS), ("alternating", 10, COLUMNS), ("update", 4, RANK)]
)
def test_too_few_tokens_leave_the_alignment_out_and_say_so(alignment, tokens, needed):
    aligned = Problem(tokens=tokens).solve(alignment, 1.0, shrinkage=1e-2)
    assert aligned.events == (
        f"{tokens} calibration tokens for {needed} unknowns a row: alignment {alignment!r} left out",
    )
    assert aligned.loss_after == aligned.loss_before


def test_directions_never_shown_keep_the_dense_weight():
    problem = Problem()
    for inputs in (problem.dense, problem.shifted):
        inputs[:, 3:] = 0
    problem.moments = Moments(
        300,
        problem.shifted.mT @ problem.shifted / 300,
        problem.dense.mT @ problem.shifted / 300,
        None,
        None,
        problem.moments.energies,
    )
    full = problem.solve("free", 1.0, rank=ROWS, shrinkage=1e-6).factors.product
    torch.testing.assert_close(full[:, 3:], problem.weight[:, 3:], rtol=1e-5, atol=1e-6)
