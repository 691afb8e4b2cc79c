"""Adam in whitened inputs: a step of a factor is as large as what it changes in the outputs.

Adam's steps are equally large in every coordinate of a weight matrix; its outputs they move most along the directions
in which the inputs vary most. So the gradient G of a matrix W is taken to coordinates in which its inputs have
covariance I, G̃ = G·L⁻ᵀ for C = L·Lᵀ; Adam takes its step there, and ΔW = ΔW̃·L⁻¹ comes back. C is measured once, before
the first step.

Source: the input side of K-FAC (Martens and Grosse 2015); Adam in such coordinates, as in SOAP (Vyas et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from compression.calibration import CalibrationBatch

TOKENS = 8192
"""So many are read for the covariances."""

SHRINKAGE = 1e-2
"""Added to a covariance's diagonal, relative to its mean eigenvalue: bounds the steps where inputs hardly vary."""

WIDEST = 4096
"""Inputs wider than this are not whitened: two products with n × n matrices a step would cost more than they gain."""


class WhitenedAdam(torch.optim.AdamW):
    """AdamW whose steps are taken in whitened inputs.

    Args:
        parameters: what learns.
        roots: L⁻ᵀ `[n, n]` of matrices `[m, n]` (`input_roots`); parameters without one get Adam's plain steps.
        weight_decay: of the parameters themselves.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], roots: Mapping[nn.Parameter, torch.Tensor], weight_decay: float = 0.0
    ) -> None:
        self.learning, self.roots, self.decay = list(parameters), roots, weight_decay
        # torch's optimizer moves these from zero; what they became is the step, which then goes to the parameters.
        self.moves = [torch.zeros_like(parameter, requires_grad=True) for parameter in self.learning]
        super().__init__(self.moves, weight_decay=0.0)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step by the gradients of the parameters."""
        for parameter, move in zip(self.learning, self.moves, strict=True):
            move.grad = parameter.grad
            if parameter.grad is not None and parameter in self.roots:
                move.grad = parameter.grad @ self.roots[parameter]
        super().step()
        kept = 1 - self.decay * self.param_groups[0]["lr"]
        for parameter, move in zip(self.learning, self.moves, strict=True):
            if move.grad is not None:
                change = move @ self.roots[parameter].mT if parameter in self.roots else move
                parameter.mul_(kept).add_(change)
                move.zero_()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the parameters."""
        for parameter in self.learning:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()


@torch.no_grad()
def input_roots(
    model: nn.Module,
    learning: Iterable[nn.Parameter],
    batches: Sequence[CalibrationBatch],
    run: Callable[[CalibrationBatch], Any],
) -> dict[nn.Parameter, torch.Tensor]:
    """Return L⁻ᵀ `[n, n]` of the inputs of every linear layer whose weight learns, by that weight.

    It is scaled to a Frobenius norm of √n, that of I: so a learning rate means about the same as without.

    Args:
        model: whose layers they are.
        learning: weights of linear layers, and other parameters, which get none.
        batches: as many of the first as hold `TOKENS` tokens are read.
        run: the model on a batch; its result is not looked at.
    """
    wanted = set(learning)
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.weight in wanted and module.in_features <= WIDEST
    ]
    sums: dict[nn.Parameter, torch.Tensor] = {}
    keep: list[torch.Tensor] = []

    def add(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        weight: Any = layer.weight
        x = inputs[0][keep[-1].to(inputs[0].device)].float()  # [tokens, n]
        product = (x.mT @ x).double()
        sums[weight] = product if weight not in sums else sums[weight].add_(product)

    hooks = [layer.register_forward_pre_hook(add) for layer in layers]
    tokens = 0
    try:
        for batch in batches:
            keep.append(batch.attention_mask.bool())
            run(batch)
            tokens += batch.tokens
            if tokens >= TOKENS:
                break
    finally:
        for hook in hooks:
            hook.remove()
    return {weight: _root(total) for weight, total in sums.items()}


def _root(covariance: torch.Tensor) -> torch.Tensor:
    """Return L⁻ᵀ of a shrunk covariance up to a factor, float32; I where nothing finite was read."""
    mean = covariance.diagonal().mean()
    if not (bool(torch.isfinite(mean)) and mean > 0):
        return torch.eye(len(covariance), device=covariance.device)
    shrunk = covariance / mean + SHRINKAGE * torch.eye(len(covariance), device=covariance.device)
    lower = torch.linalg.cholesky(shrunk)
    root = torch.linalg.solve_triangular(lower, torch.eye(len(lower), device=lower.device).to(lower), upper=False).mT
    return (root / (root.square().sum() / len(root)).sqrt()).float()
