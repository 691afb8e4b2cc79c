"""Truncated SVD of a weighed matrix, and its split into two balanced factors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from compression.errors import RankError
from compression.whitening import Whitening


@dataclass(frozen=True)
class Factors:
    """W' = A·B, with the spectrum it was cut from; everything float64.

    Attributes:
        output_factor: A `[m, rank]`.
        input_factor: B `[rank, n]`.
        singular_values: all of them, `[min(m, n)]`, falling.
        dropped_energy: Σ σ_j² beyond the rank = ‖W X − W′X‖² over the mean token, where S Sᵀ = X Xᵀ.
    """

    output_factor: torch.Tensor
    input_factor: torch.Tensor
    singular_values: torch.Tensor
    dropped_energy: float

    @property
    def product(self) -> torch.Tensor:
        """W' `[m, n]`."""
        return self.output_factor @ self.input_factor


def factorize_weight(weight: torch.Tensor, whitening: Whitening, rank: int) -> Factors:
    """Return the best rank-`rank` factors of W `[m, n]` float64 for the inputs of `whitening`, by its route.

    With C = S Sᵀ the SVD of W S and the top eigenvectors Q of W C Wᵀ lead to the same W' = Q Qᵀ W: Q are the left
    singular vectors of W S. The second (`gram`) takes no root of C and solves nothing, so that no C is too singular.

    Raises:
        RankError: `rank` is not in 1 … min(m, n).
    """
    if whitening.report.route != "gram":
        return factorize(whitening.weigh(weight), whitening, rank)
    assert whitening.matrix is not None
    _check_rank(weight, rank)
    energies, vectors = torch.linalg.eigh(weight @ whitening.matrix @ weight.mT)
    left = vectors.flip(1)[:, :rank]  # [m, r]
    energies = energies.flip(0).clamp_min(0)[: min(weight.shape)]
    output_factor, input_factor = balance(left, left.mT @ weight)
    return Factors(output_factor, input_factor, energies.sqrt(), float(energies[rank:].sum()))


def factorize(weighed: torch.Tensor, whitening: Whitening, rank: int) -> Factors:
    """Return the best rank-`rank` factors of W for inputs whitened by S, given W S `[m, n]` float64.

    A = U_r Σ_r^½ and B = Σ_r^½ V_rᵀ S⁻¹, then rescaled so that ‖A_j‖ = ‖B_j‖ for every component: equal
    ranges lose least when the factors are cast to half precision or quantised.

    Raises:
        RankError: `rank` is not in 1 … min(m, n).

    Source: OD-LLM step 2 (truncated SVD of W S).
    """
    _check_rank(weighed, rank)
    left, right, energies = _split(weighed, rank)
    output_factor, input_factor = balance(left, whitening.unweigh(right))
    return Factors(output_factor, input_factor, energies.sqrt(), float(energies[rank:].sum()))


def energies_of(weighed: torch.Tensor) -> torch.Tensor:
    """Return all σ² of a weighed matrix `[m, n]` float64, falling, `[min(m, n)]`; no factors."""
    rows, columns = weighed.shape
    gram = weighed @ weighed.mT if rows <= columns else weighed.mT @ weighed
    return torch.linalg.eigvalsh(gram).flip(0).clamp_min(0)


def _check_rank(matrix: torch.Tensor, rank: int) -> None:
    rows, columns = matrix.shape
    if not 1 <= rank <= min(rows, columns):
        raise RankError(
            f"rank {rank} does not fit a matrix of {rows} × {columns}: expected 1 to {min(rows, columns)}. "
            "Lower keep_ratio."
        )


def _split(weighed: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return L `[m, rank]`, R `[rank, n]` with L·R the best approximation, and all σ² falling.

    The eigenvectors of the smaller Gram matrix give the same optimum as an SVD of the matrix itself, several
    times cheaper; σ below 1e-8 of the largest lose their digits, which no truncation can notice.
    """
    rows, columns = weighed.shape
    if rows <= columns:
        energies, vectors = torch.linalg.eigh(weighed @ weighed.mT)
        left = vectors.flip(1)[:, :rank]
        right = left.mT @ weighed
    else:
        energies, vectors = torch.linalg.eigh(weighed.mT @ weighed)
        right = vectors.flip(1)[:, :rank].mT
        left = weighed @ right.mT
    return left, right, energies.flip(0).clamp_min(0)


def balance(output_factor: torch.Tensor, input_factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rescale A `[m, r]` and B `[r, n]` so that ‖A_j‖ = ‖B_j‖, their product unchanged."""
    output_norms = output_factor.norm(dim=0)  # [r]
    input_norms = input_factor.norm(dim=1)  # [r]
    alive = (output_norms > 0) & (input_norms > 0)
    ratio = torch.where(alive, input_norms / output_norms, torch.ones_like(input_norms)).sqrt()
    # A component that is zero on one side adds nothing: clear its other side too.
    output_factor = torch.where(alive, output_factor * ratio, torch.zeros_like(output_factor))
    input_factor = torch.where(alive[:, None], input_factor / ratio[:, None], torch.zeros_like(input_factor))
    return output_factor, input_factor
