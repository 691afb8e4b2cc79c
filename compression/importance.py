"""How much the model's decisions depend on what each projection writes: the Fisher information of its outputs.

With g the gradient of log p(token) by a projection's output y, where the token is drawn from the model's own
distribution, a small error e of y costs ½·eᵀ G e nats of divergence, G = E[g gᵀ]. Whitening asks which *inputs* occur;
G says which *outputs* matter. With G = R Rᵀ the best factors minimise ‖Rᵀ(T − W'X′)‖², and the dropped σ² of all
projections are in one currency: half their sum estimates the divergence, so that ranks can be bought where they pay.

The gradients need the whole model in memory, other than everything else in this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compression.blocks import kept_rows
from compression.calibration import CalibrationBatch, check_batches
from compression.errors import CalibrationError
from compression.input_sums import InputSums
from compression.lowrank import members, projection_names
from compression.moment_sum import MomentSum
from odllm_artifact import Progress, silent

Allowed = Callable[[CalibrationBatch], torch.Tensor]
"""Which of the candidate tokens may follow each position of a batch, bool `[batch, tokens, candidates]`; nothing is
chosen where none may."""

SHRINKAGE = 1e-2
"""Added to G's diagonal relative to its mean: gradients of a few thousand tokens call no output useless."""

POSITIONS_AT_ONCE = 768
"""Tokens, padding included, that gradients are taken of at once: what a backward pass keeps grows with them."""


@dataclass(frozen=True)
class OutputRoot:
    """R `[m, m]` with R Rᵀ = G + shrinkage for the outputs of a projection, or of a stack: block diagonal then.

    Attributes:
        triangles: lower, `[m_i, m_i]` float64, one for each projection.
    """

    triangles: tuple[torch.Tensor, ...]

    def weigh(self, rows: torch.Tensor) -> torch.Tensor:
        """Return X R for X `[rows, m]`: outputs in units of what they matter."""
        return torch.cat([part @ root for part, root in self._parts(rows)], dim=1)

    def unweigh(self, rows: torch.Tensor) -> torch.Tensor:
        """Return X R⁻¹ for X `[rows, m]`."""
        solve = torch.linalg.solve_triangular
        return torch.cat([solve(root, part, upper=False, left=False) for part, root in self._parts(rows)], dim=1)

    def to(self, dtype: torch.dtype) -> OutputRoot:
        """Return R in another precision."""
        return OutputRoot(tuple(triangle.to(dtype) for triangle in self.triangles))

    def _parts(self, rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return zip(rows.split([len(root) for root in self.triangles], dim=1), self.triangles, strict=True)


@dataclass(frozen=True)
class Importance:
    """The output importance of every projection.

    Attributes:
        matrices: full module name → G `[m, m]` float64.
        tokens: positions that it was taken over.
    """

    matrices: Mapping[str, torch.Tensor]
    tokens: int

    def root(self, name: str) -> OutputRoot:
        """Return R with R Rᵀ = G for a projection, or for a stack: its projections count as independent."""
        matrices = [self.matrices[member] for member in members(name)]
        mean = float(sum(matrix.trace() for matrix in matrices)) / sum(len(matrix) for matrix in matrices)
        # No pivot can be noise: all eigenvalues are this far from 0. Outputs that nothing depends on weigh the same.
        added = SHRINKAGE * mean if mean > 0 else 1.0
        return OutputRoot(
            tuple(torch.linalg.cholesky(matrix + added * torch.eye(len(matrix)).to(matrix)) for matrix in matrices)
        )


def output_importance(
    model: Any,
    batches: Sequence[CalibrationBatch],
    candidates: Sequence[int],
    allowed: Allowed,
    *,
    seed: int = 0,
    inputs: InputSums | None = None,
    progress: Progress = silent,
) -> Importance:
    """Return the Fisher information of every projection's output in a dense model.

    Args:
        model: a causal language model of a supported family, with values, on one device.
        batches: calibration sequences (of training users only).
        candidates: token ids among which the model chooses: the code tokens.
        allowed: which of them it may choose at each position: the catalogue's constraint.
        seed: of the tokens drawn.
        inputs: gets what the projections read of all sequences, so that spectra need no pass of their own.
        progress: told after every batch.

    Raises:
        CalibrationError: no or bad sequences, no position where anything is chosen, or gradients that are not finite.

    Source: natural gradients' Kronecker factors (Martens and Grosse 2015); the use for ranks is this project's.
    """
    check_batches(batches, model.config.vocab_size)
    names, device = projection_names(model), model.lm_head.weight.device
    ids = torch.as_tensor(list(candidates), device=device)
    generator = torch.Generator().manual_seed(seed)
    sums = {name: MomentSum(model.get_submodule(name).out_features, None, device) for name in names}
    tokens = 0
    with _outputs(model, names) as outputs:
        for number, batch in enumerate(batches, start=1):
            for part in batch.split(POSITIONS_AT_ONCE):
                keep = part.attention_mask.bool().to(device)
                with nullcontext() if inputs is None else inputs.reading(keep):
                    surprise = _surprise(model, part.to(device), ids, allowed(part).to(device), generator)
                if surprise is not None:
                    _add_gradients(sums, surprise, outputs, keep)
                    tokens += int(keep.sum())
            progress(number, len(batches), "gradients")
    if not tokens:
        raise CalibrationError("no calibration sequence holds a choice: expected sequences of catalogue items' codes")
    matrices = {name: part.mean(tokens) for name, part in sums.items()}
    for name, matrix in matrices.items():
        if not bool(torch.isfinite(matrix).all()):
            raise CalibrationError(f"NaN or infinite gradients at {name}. Check the weights, or compute in float32.")
    return Importance(matrices, tokens)


def _add_gradients(
    sums: dict[str, MomentSum], surprise: torch.Tensor, outputs: dict[str, torch.Tensor], keep: torch.Tensor
) -> None:
    """Add what a surprise says of every output, and let the outputs go: the next pass shall not lie beside them."""
    wanted = [outputs.pop(name) for name in sums]
    for part, gradient in zip(sums.values(), torch.autograd.grad(surprise, wanted), strict=True):
        part.add(kept_rows(gradient, keep).float())  # next to the shrinkage the rounding of their products is nothing


@contextmanager
def _outputs(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Yield what the projections wrote last, by name."""
    outputs: dict[str, torch.Tensor] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, args: object, output: torch.Tensor) -> None:
            outputs[name] = output

        return keep

    handles = [model.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _surprise(
    model: Any, batch: CalibrationBatch, ids: torch.Tensor, allowed: torch.Tensor, generator: torch.Generator
) -> torch.Tensor | None:
    """Return −Σ log p of tokens drawn from the model's own choices, None where a batch offers no choice."""
    chosen = allowed.any(dim=2)  # [batch, tokens]
    offered = bool(chosen.any())
    with torch.set_grad_enabled(offered):
        # Gradients by the outputs alone: no weight asks for one.
        embedded = model.model.embed_tokens(batch.input_ids).detach().requires_grad_()
        hidden = model.model(
            inputs_embeds=embedded,
            attention_mask=batch.attention_mask,
            position_ids=batch.positions(),
            use_cache=False,
        ).last_hidden_state[chosen]  # [choices, hidden]
        if not offered:
            return None
        logits = (hidden @ model.lm_head.weight[ids].mT).float().masked_fill(~allowed[chosen], -torch.inf)
        log_p = torch.log_softmax(logits, dim=-1)
        drawn = torch.multinomial(log_p.detach().exp().cpu(), 1, generator=generator).to(log_p.device)
        return -log_p.gather(1, drawn).sum()
