"""What the model loses when a projection is cut, so that ranks can be given where they are needed.

`energy` counts the share of a projection's own output that is lost. `sensitivity` measures what that share is worth:
each projection alone is truncated to a probe rank, and the divergence of the model's next-code distribution from the
dense one is taken on a few sequences. Small errors add up as their energy does, so divergence ÷ lost energy is the
price of energy there, and price · energy beyond r what rank r costs the model. `importance` takes the price of every
output from the model's Fisher information instead (`compression.importance`): gradients, no probes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import torch

from compression.allocation import Shape, break_even_rank, uniform_rank
from compression.blocks import embed, run_block
from compression.calibration import CalibrationBatch
from compression.config import CompressionConfig
from compression.distillation import IGNORED, divergence, next_tokens
from compression.errors import CalibrationError
from compression.factorize import energies_of, factorize
from compression.importance import Importance
from compression.input_sums import InputSums
from compression.lowrank import members
from compression.spectra import relative_losses, tails, walk_blocks
from compression.whitening import Whitening
from odllm_artifact import Progress, silent


class ProjectionLoss(msgspec.Struct, frozen=True):
    """What one projection, or one stack of them, loses.

    Attributes:
        energies: lost at rank 0, 1, 2 … min(m, n): shares of its output's, or nats where outputs have importance.
        probe_rank: where it was cut alone; 0 if it was not.
        divergence: mean KL from the dense model then, nats a position.
    """

    energies: tuple[float, ...]
    probe_rank: int = 0
    divergence: float = 0.0


class LossReport(msgspec.Struct, frozen=True):
    """What all projections lose, and what it took to find out.

    Attributes:
        projections: by full module name.
        tokens: of the calibration.
        probe_tokens: positions that the divergence was taken over; 0 without a probe.
        seconds: wall time.
    """

    projections: dict[str, ProjectionLoss]
    tokens: int
    probe_tokens: int
    seconds: float

    def curves(self) -> dict[str, list[float]]:
        """Return what is lost at rank 0, 1, 2 … by name: energy shares, weighed by their price if it was measured."""
        if not self.probe_tokens:
            return {name: list(found.energies) for name, found in self.projections.items()}
        prices = {name: _price(found) for name, found in self.projections.items()}
        known = [price for price in prices.values() if price is not None]
        usual = sum(known) / len(known) if known else 1.0
        return {
            name: [(usual if (price := prices[name]) is None else price) * energy for energy in found.energies]
            for name, found in self.projections.items()
        }


def _price(found: ProjectionLoss) -> float | None:
    """Return divergence a share of energy, None where the probe cut next to nothing."""
    cut = found.energies[found.probe_rank]
    return found.divergence / cut if cut > 1e-9 else None


def measure_losses(
    model: Any,
    batches: Sequence[CalibrationBatch],
    config: CompressionConfig,
    shapes: Mapping[str, Shape],
    *,
    probe: Sequence[CalibrationBatch] = (),
    code_token_ids: Sequence[int] | None = None,
    importance: Importance | None = None,
    inputs: InputSums | None = None,
    progress: Progress = silent,
) -> LossReport:
    """Return what every projection of a dense model loses at every rank; the model is left as it was.

    Args:
        model: dense.
        batches: calibration sequences of training users.
        config: how inputs are whitened; its keep ratio gives the ranks that are probed.
        shapes: (m, n) of everything that gets a rank, as `compression.pipeline.unit_shapes` gives them.
        probe: a few sequences on which each projection is cut alone; none leaves energies unweighed. Takes as many
            passes over the blocks behind a projection as there are projections.
        code_token_ids: compare the distributions over these tokens only, where one of them comes next; None compares
            the whole vocabulary everywhere.
        importance: of the projections' outputs; then losses are half the weighed energies, in nats.
        inputs: what `output_importance` has read of the same batches; used up. None runs the blocks.
        progress: told after every block.

    Raises:
        CalibrationError: no or bad calibration data, or activations or divergences that are not finite.
    """
    started = time.monotonic()
    found: dict[str, ProjectionLoss] = {}
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            prober = _Prober(model, probe, code_token_ids) if probe else None
            for block in walk_blocks(model, batches, config, known=inputs, progress=progress):
                prefix = f"model.layers.{block.index}."
                for name, shape in shapes.items():
                    if name.startswith(prefix):
                        whitening = block.whitenings[members(name)[0].removeprefix(prefix)]
                        rank = max(min(uniform_rank(shape, config.keep_ratio), break_even_rank(shape)), 1)
                        found[name] = _measure(model, name, whitening, rank, importance, prober)
                if prober is not None:
                    prober.advance()
    finally:
        model.train(training)
    tokens = sum(batch.tokens for batch in batches)
    return LossReport(found, tokens, 0 if prober is None else prober.rows, time.monotonic() - started)


def _measure(
    model: Any, name: str, whitening: Whitening, rank: int, importance: Importance | None, prober: _Prober | None
) -> ProjectionLoss:
    linears = [model.get_submodule(member) for member in members(name)]
    weight = torch.cat([linear.weight for linear in linears]).double()  # [m, n]
    if importance is not None:
        weight = importance.root(name).weigh(weight.mT).mT  # Rᵀ W
    weighed = whitening.weigh(weight)
    energies = energies_of(weighed)
    if importance is not None:
        return ProjectionLoss(tuple((tails(energies) / 2).tolist()))
    shares = tuple(relative_losses(energies))
    if prober is None:
        return ProjectionLoss(shares)
    return ProjectionLoss(shares, rank, prober.cut(name, linears, factorize(weighed, whitening, rank).product))


class _Prober:
    """The probe sequences in front of the current block, and the dense model's answers to them."""

    def __init__(self, model: Any, batches: Sequence[CalibrationBatch], ids: Sequence[int] | None) -> None:
        self.model = model
        self.block = 0
        self.head = model.lm_head.weight if ids is None else model.lm_head.weight[list(ids)]
        wanted = None if ids is None else torch.as_tensor(list(ids))
        embedded = [embed(model, batch) for batch in batches if batch.tokens]
        self.hidden, self.inputs = [states for states, _ in embedded], [one for _, one in embedded]
        self.asked = [self._asked(batch, wanted) for batch in batches if batch.tokens]
        self.rows = sum(int(asked.sum()) for asked in self.asked)
        if not self.rows:
            raise CalibrationError("no code token follows in the probe's sequences. Give longer ones.")
        self.answers = [self._answer(i) for i in range(len(self.inputs))]

    def _asked(self, batch: CalibrationBatch, ids: torch.Tensor | None) -> torch.Tensor:
        """Return which positions that are not padding count, bool `[rows]`."""
        following = next_tokens(batch, ids, self.model.config.vocab_size)
        return (following != IGNORED).to(self.head.device)

    def _answer(self, i: int) -> torch.Tensor:
        """Return the logits `[rows, tokens compared]` of a batch, from the current block on."""
        hidden = self.hidden[i]
        for module in self.model.model.layers[self.block :]:
            hidden = run_block(module, hidden, self.inputs[i])
        rows = self.model.model.norm(hidden[self.inputs[i].keep][self.asked[i]])
        return rows @ self.head.mT

    def cut(self, name: str, linears: Sequence[Any], weight: torch.Tensor) -> float:
        """Return the mean divergence in nats while projections of the current block have other weights.

        Args:
            name: of the projection or stack, for messages.
            linears: the projections.
            weight: `[sum of their rows, n]`.
        """
        originals = [linear.weight.data for linear in linears]
        for linear, rows in zip(linears, weight.split([len(one) for one in originals]), strict=True):
            linear.weight.data = rows.to(linear.weight.dtype)
        try:
            apart = sum(
                float(divergence(self._answer(i), answer)) * len(answer) for i, answer in enumerate(self.answers)
            )
        finally:
            for linear, original in zip(linears, originals, strict=True):
                linear.weight.data = original
        if not math.isfinite(apart):
            raise CalibrationError(f"the model's answers are NaN or infinite when {name} is cut. Check its weights.")
        return max(apart / self.rows, 0.0)

    def advance(self) -> None:
        """Go on to the next block."""
        module = self.model.model.layers[self.block]
        self.hidden = [run_block(module, states, one) for states, one in zip(self.hidden, self.inputs, strict=True)]
        self.block += 1
