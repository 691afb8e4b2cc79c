"""A whitening S of a covariance C ≈ S Sᵀ that says what it did instead of failing.

Covariances of recommendation prompts are singular in practice: the inputs of the first block are normalised
rows of a few hundred code tokens. A plain Cholesky then fails or amplifies rounding noise, so C is shrunk
relative to its mean eigenvalue, the pivots are checked, and an eigendecomposition with a floor takes over
where they are not to be trusted. Nothing is inverted explicitly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from compression.errors import CalibrationError

Route = Literal["cholesky", "eigen", "gram", "identity"]


@dataclass(frozen=True)
class WhiteningReport:
    """What was done to a covariance.

    Attributes:
        route: `cholesky`, `eigen` (asked for, or the fallback), `gram` (C itself, nothing factored) or `identity`
            (no normalisation asked for, or none possible).
        shrinkage: what was added to the diagonal, relative to the mean eigenvalue.
        condition: largest ÷ smallest eigenvalue of what was factored.
        effective_rank: exp of the entropy of C's eigenvalues: how many directions carry the inputs.
        events: fallbacks taken, in words.
    """

    route: Route
    shrinkage: float
    condition: float
    effective_rank: float
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Whitening:
    """S `[n, n]` float64 with C ≈ S Sᵀ: S⁻¹ x has the identity as its second moment.

    Attributes:
        matrix: the lower triangle L (cholesky), or Q·diag(scale) (eigen); C itself (gram); none for identity.
        basis: Q `[n, n]` of the eigen route.
        scale: square roots of the eigenvalues `[n]` of the eigen route.
        report: what was done.
    """

    matrix: torch.Tensor | None
    report: WhiteningReport
    basis: torch.Tensor | None = None
    scale: torch.Tensor | None = None

    def weigh(self, weight: torch.Tensor) -> torch.Tensor:
        """Return W S for W `[m, n]`: the weight seen by whitened inputs."""
        return weight if self.matrix is None else weight @ self.matrix

    def weigh_cross(self, cross: torch.Tensor) -> torch.Tensor:
        """Return M S⁻ᵀ for M = T Xᵀ `[m, n]`: the least-squares weight of target T, already weighed."""
        if self.matrix is None:
            return cross
        if self.basis is not None and self.scale is not None:
            return (cross @ self.basis) / self.scale
        return torch.linalg.solve_triangular(self.matrix.mT, cross, upper=True, left=False)

    def unweigh(self, factor: torch.Tensor) -> torch.Tensor:
        """Return F S⁻¹ for F `[r, n]`: back from whitened inputs to inputs."""
        if self.matrix is None:
            return factor
        if self.basis is not None and self.scale is not None:
            return (factor / self.scale) @ self.basis.mT
        return torch.linalg.solve_triangular(self.matrix, factor, upper=False, left=False)


def no_whitening(covariance: torch.Tensor, *, event: str | None = None) -> Whitening:
    """Return the identity as whitening, with the facts about `covariance` `[n, n]` in its report."""
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp_min(0)
    events = () if event is None else (event,)
    report = WhiteningReport("identity", 0.0, _condition(eigenvalues), _effective_rank(eigenvalues), events)
    return Whitening(None, report)


def whiten(
    covariance: torch.Tensor, shrinkage: float, route: Route = "cholesky", *, described: bool = True
) -> Whitening:
    """Return S with C + shrinkage · tr(C)/n · I = S Sᵀ for a covariance C `[n, n]` float64.

    Args:
        covariance: C.
        shrinkage: relative to the mean eigenvalue.
        route: `cholesky` falls back to `eigen` where the pivots are noise; `gram` factors nothing, so that it takes
            any C as it is, and serves `factorize` alone: no inverse comes of it.
        described: whether the report shall have the condition and the effective rank, which take longer than the
            triangle; they are NaN where it need not and the pivots are sound.

    Raises:
        CalibrationError: C holds a NaN or an infinite value.

    Source: OD-LLM's token covariance normalisation (SVD-LLM's whitening), with the repairs named above.
    """
    if not bool(torch.isfinite(covariance).all()):
        raise CalibrationError(
            "a covariance holds NaN or infinite values. Look for them in the model's weights and activations."
        )
    size = covariance.shape[0]
    mean = float(covariance.trace()) / size
    if mean <= 0:
        return no_whitening(covariance, event="all inputs are zero: nothing to normalise, plain SVD instead")
    shrunk = (covariance + covariance.mT).div_(2)  # in place: a 7B model's is 1 GB
    shrunk.diagonal().add_(shrinkage * mean)
    if route == "eigen":
        return _eigen_route(shrunk, shrinkage)
    if route == "cholesky" and not described and (lower := _sound_triangle(shrunk, size * mean)) is not None:
        return Whitening(lower, WhiteningReport(route, shrinkage, math.nan, math.nan))
    eigenvalues = torch.linalg.eigvalsh(shrunk)
    effective_rank = _effective_rank((eigenvalues - shrinkage * mean).clamp_min(0))
    report = WhiteningReport(route, shrinkage, _condition(eigenvalues), effective_rank)
    if route == "gram":
        return Whitening(shrunk, report)
    largest = float(eigenvalues[-1])
    if float(eigenvalues[0]) > _noise(size) * largest and (lower := _sound_triangle(shrunk, largest)) is not None:
        return Whitening(lower, report)
    return _eigen_route(shrunk, shrinkage, fallback=True)


def _sound_triangle(shrunk: torch.Tensor, largest: float) -> torch.Tensor | None:
    """Return the Cholesky factor, None where a pivot may be noise beside eigenvalues as large as `largest`."""
    lower, failed = torch.linalg.cholesky_ex(shrunk)
    sound = not int(failed) and float(lower.diagonal().min()) ** 2 > _noise(len(shrunk)) * largest
    return lower if sound else None


def _eigen_route(shrunk: torch.Tensor, shrinkage: float, *, fallback: bool = False) -> Whitening:
    """Factor C = Q Λ Qᵀ with its eigenvalues lifted to what rounding leaves meaningful."""
    eigenvalues, basis = torch.linalg.eigh(shrunk)
    floor = _noise(len(eigenvalues)) * float(eigenvalues[-1])
    added = shrinkage * float(shrunk.trace()) / len(eigenvalues) / (1 + shrinkage)
    effective_rank = _effective_rank((eigenvalues - added).clamp_min(0))
    lifted = int((eigenvalues < floor).sum())
    events: tuple[str, ...] = ()
    if lifted or fallback:
        events = (
            f"singular covariance: {lifted} of {len(eigenvalues)} eigenvalues lifted to {floor:.1e}, eigen route",
        )
    eigenvalues = eigenvalues.clamp_min(floor)
    report = WhiteningReport("eigen", shrinkage, _condition(eigenvalues), effective_rank, events)
    scale = eigenvalues.sqrt()
    return Whitening(basis * scale, report, basis, scale)


def _noise(size: int) -> float:
    """Eigenvalues below this fraction of the largest are rounding noise."""
    return size * torch.finfo(torch.float64).eps


def _condition(eigenvalues: torch.Tensor) -> float:
    """Return largest ÷ smallest, the smallest lifted to rounding noise so that it is finite."""
    largest = float(eigenvalues[-1])
    if largest <= 0:
        return 1.0
    return largest / max(float(eigenvalues[0]), _noise(len(eigenvalues)) * largest)


def _effective_rank(eigenvalues: torch.Tensor) -> float:
    """Return exp(entropy) of the normalised eigenvalues (Roy and Vetterli 2007)."""
    total = float(eigenvalues.sum())
    if total <= 0:
        return 0.0
    shares = eigenvalues / total
    return float(torch.special.entr(shares).sum().exp())
