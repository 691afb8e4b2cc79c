"""What a compression did, projection by projection: the content of `compression.json`."""

from __future__ import annotations

import msgspec

from compression.alignment import Aligned
from compression.config import CompressionConfig

REPORT_SCHEMA_VERSION = 1


class SingularValues(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of the spectrum that a projection was cut from.

    Attributes:
        largest: σ₁.
        at_rank: σ_r, the smallest kept.
        kept_energy: Σ_{j≤r} σ_j² ÷ Σ σ_j².
        rank_99: how many values hold 99 % of the energy.
    """

    largest: float
    at_rank: float
    kept_energy: float
    rank_99: int


class LinearReport(msgspec.Struct, frozen=True, kw_only=True):
    """One factored projection.

    Attributes:
        name: full module name.
        shape: (m, n) of the dense matrix.
        rank: of the factors.
        loss_before: E‖t − W'x′‖² ÷ E‖t‖² of the whitened factors without alignment.
        loss_after: the same with alignment.
        route: how the covariance was factored.
        shrinkage: what was added to its diagonal, relative to the mean eigenvalue.
        condition: largest ÷ smallest eigenvalue of what was factored.
        effective_rank: directions that carry the inputs.
        singular_values: summary of the spectrum.
        dropped_energy: Σ_{j>r} σ_j². If the outputs were weighed by their importance, half of it estimates the nats of
            divergence a token that this projection costs.
        events: fallbacks taken, in words.
    """

    name: str
    shape: tuple[int, int]
    rank: int
    loss_before: float
    loss_after: float
    route: str
    shrinkage: float
    condition: float
    effective_rank: float
    singular_values: SingularValues
    dropped_energy: float
    events: tuple[str, ...] = ()


class CompressionReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole compression.

    Attributes:
        config: what was asked for.
        keep_ratio: achieved kept ÷ original parameters of the seven projections of all blocks.
        model_size_ratio: the same over the whole model, embeddings, norms and head included.
        parameters_before: of the whole model; tied tensors count once.
        parameters_after: the same after.
        sequences: calibration sequences used.
        tokens: calibration tokens used, padding left out.
        blocks_resumed: blocks taken over from an earlier, interrupted run.
        seconds: wall time of this run.
        linears: the factored projections in forward order; those not listed stayed dense.
        events: of the run as a whole, in words.
    """

    config: CompressionConfig
    keep_ratio: float
    model_size_ratio: float
    parameters_before: int
    parameters_after: int
    sequences: int
    tokens: int
    blocks_resumed: int
    seconds: float
    linears: tuple[LinearReport, ...]
    events: tuple[str, ...] = ()
    schema_version: int = REPORT_SCHEMA_VERSION

    @property
    def ranks(self) -> dict[str, int]:
        """Rank by projection."""
        return {linear.name: linear.rank for linear in self.linears}


def report_linear(name: str, shape: tuple[int, int], aligned: Aligned) -> LinearReport:
    """Return the record of one factored projection."""
    factors, whitening = aligned.factors, aligned.whitening
    energies = factors.singular_values.square()
    rank = factors.input_factor.shape[0]
    total = max(float(energies.sum()), 1e-300)  # a zero matrix keeps all of its nothing
    enough = int((energies.cumsum(0) < 0.99 * total).sum()) + 1
    return LinearReport(
        name=name,
        shape=shape,
        rank=rank,
        loss_before=aligned.loss_before,
        loss_after=aligned.loss_after,
        route=whitening.route,
        shrinkage=whitening.shrinkage,
        condition=whitening.condition,
        effective_rank=whitening.effective_rank,
        singular_values=SingularValues(
            largest=float(factors.singular_values[0]),
            at_rank=float(factors.singular_values[rank - 1]),
            kept_energy=1 - factors.dropped_energy / total,
            rank_99=min(enough, len(energies)),
        ),
        dropped_energy=factors.dropped_energy,
        events=whitening.events + aligned.events,
    )
