"""Factors of one projection, aimed at what the dense model computes although the inputs have shifted.

With X the inputs in the dense model and X′ those behind the compressed prefix, the target is
T = α·(W X + D) + (1−α)·W X′, where D = H − H′ is the drift of the residual stream for the two projections
whose output is added to it (o and down), and zero for the others. α = 0 is SVD-LLM's target, which cannot
repair anything; α = 1 aims at the dense model's own activations.

    none     SVD of W S with the whitening of X: no alignment
    update   the same B; A = argmin ‖T − A·B·X′‖²                     (the paper's update)
    free     W' = SVD_r(T X′ᵀ L⁻ᵀ) L⁻¹ with L Lᵀ = X′X′ᵀ             (the best rank-r solution)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from compression.factorize import Factors, balance, factorize, factorize_weight
from compression.statistics import Moments
from compression.whitening import Whitening, WhiteningReport, whiten

Alignment = Literal["none", "update", "alternating", "free"]


@dataclass(frozen=True)
class Target:
    """What a projection should output, as far as a linear solution needs to know, float64.

    Attributes:
        cross: E[t x′ᵀ] `[m, n]`.
        shifted: E[x′ x′ᵀ] `[n, n]`.
        energy: E‖t‖².
    """

    cross: torch.Tensor
    shifted: torch.Tensor
    energy: float

    def error(self, factors: Factors) -> float:
        """Return E‖t − A·B·x′‖² ÷ E‖t‖²; 0 where the target is zero."""
        if self.energy <= 0:
            return 0.0
        A, B = factors.output_factor, factors.input_factor
        fitted = float(((A.mT @ self.cross) * B).sum())
        own = float(((A.mT @ A) * (B @ self.shifted @ B.mT)).sum())
        return max((self.energy - 2 * fitted + own) / self.energy, 0.0)


@dataclass(frozen=True)
class Aligned:
    """The factors of one projection and how well they meet their target.

    Attributes:
        factors: A and B, float64.
        loss_before: relative error of the whitened factors without alignment, on the shifted inputs.
        loss_after: the same with alignment.
        whitening: the covariance's report.
        events: fallbacks taken, in words.
    """

    factors: Factors
    loss_before: float
    loss_after: float
    whitening: WhiteningReport
    events: tuple[str, ...] = ()


def make_target(weight: torch.Tensor, moments: Moments, alpha: float) -> Target:
    """Return the target of a projection W `[m, n]` float64: α·(W X + D) + (1−α)·W X′.

    Source: OD-LLM's progressive alignment; the blended target and the residual drift are this project's.
    """
    cross, energy = moments.aim(weight)
    if alpha == 1:
        return Target(cross, moments.shifted, energy)
    own = weight @ moments.shifted  # E[q x′ᵀ], q = W x′
    mixed, shifted = float((cross * weight).sum()), float((own * weight).sum())  # E[pᵀ q], E‖q‖²
    energy = alpha**2 * energy + 2 * alpha * (1 - alpha) * mixed + (1 - alpha) ** 2 * shifted
    return Target(alpha * cross + (1 - alpha) * own, moments.shifted, energy)


def align(
    weight: torch.Tensor,
    target: Target,
    whitening: Whitening,
    rank: int,
    *,
    alignment: Alignment,
    tokens: int,
    sweeps: int = 4,
) -> Aligned:
    """Return the rank-`rank` factors of W `[m, n]` float64 under the chosen alignment.

    Args:
        weight: the dense W.
        target: what it should output on the shifted inputs.
        whitening: of the dense inputs' covariance, but of the shifted for `free`.
        rank: inner size of the factors.
        alignment: as the module says.
        tokens: how many tokens the moments were taken over; too few make an alignment fit noise, so it is
            left out, and the event says so.
        sweeps: of `alternating`: how often both factors are solved for.

    Raises:
        RankError: `rank` does not fit.
    """
    plain = factorize_weight(weight, whitening, rank)
    before = target.error(plain)
    needed = rank if alignment == "update" else weight.shape[1]
    events: tuple[str, ...] = ()
    if alignment != "none" and tokens < needed:
        events = (f"{tokens} calibration tokens for {needed} unknowns a row: alignment {alignment!r} left out",)
        alignment = "none"
    if alignment == "none":
        return Aligned(plain, before, before, whitening.report, events)
    pulled = _pull(target, weight, whitening.report.shrinkage)
    if alignment == "free":
        factors = _free(pulled, whitening, rank)
    elif alignment == "update":
        factors, events = _update(pulled, plain)
    else:
        factors, events = _alternate(pulled, plain, sweeps)
    return Aligned(factors, before, target.error(factors), whitening.report, events)


def _pull(target: Target, weight: torch.Tensor, shrinkage: float) -> Target:
    """Add a ridge ‖W' − W‖² to the problem: in directions the data never showed, stay with the dense weight.

    Its strength is the whitening's shrinkage, so that both see the same covariance C′ + shrinkage·tr(C′)/n·I.
    """
    strength = shrinkage * float(target.shifted.trace()) / target.shifted.shape[0]
    shifted = target.shifted.clone()
    shifted.diagonal().add_(strength)
    return Target(target.cross + strength * weight, shifted, target.energy)


def _free(target: Target, whitening: Whitening, rank: int) -> Factors:
    """Return the best rank-r solution on the shifted inputs. Source: AA-SVD."""
    return factorize(whitening.weigh_cross(target.cross), whitening, rank)


def _update(target: Target, plain: Factors) -> tuple[Factors, tuple[str, ...]]:
    """Keep B and refit A. Source: OD-LLM's closed-form update."""
    output_factor, events = _best_output_factor(target, plain.input_factor)
    A, B = balance(output_factor, plain.input_factor)
    return Factors(A, B, plain.singular_values, plain.dropped_energy), events


def _alternate(target: Target, plain: Factors, sweeps: int) -> tuple[Factors, tuple[str, ...]]:
    """Refit A to B and B to A by turns, A last; no turn can make the error larger."""
    shifted = whiten(target.shifted, shrinkage=0.0)
    best = shifted.unweigh(shifted.weigh_cross(target.cross))  # [m, n]: E[t x′ᵀ] C′⁻¹, the full-rank solution
    B, events = plain.input_factor, shifted.report.events
    for _ in range(sweeps):
        A, found = _best_output_factor(target, B)
        events += found
        gram = whiten(A.mT @ A, shrinkage=0.0)  # (AᵀA) B = Aᵀ·best
        right = A.mT @ best  # [r, n]
        B = gram.unweigh(gram.weigh_cross(right.mT)).mT
    A, found = _best_output_factor(target, B)
    A, B = balance(A, B)
    return Factors(A, B, plain.singular_values, plain.dropped_energy), tuple(dict.fromkeys(events + found))


def _best_output_factor(target: Target, input_factor: torch.Tensor) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Return A `[m, r]` with A (B C′ Bᵀ) = E[t x′ᵀ] Bᵀ for B `[r, n]`, and the fallbacks taken."""
    gram = whiten(input_factor @ target.shifted @ input_factor.mT, shrinkage=0.0)  # [r, r] = S Sᵀ
    return gram.unweigh(gram.weigh_cross(target.cross @ input_factor.mT)), gram.report.events  # M S⁻ᵀ S⁻¹
