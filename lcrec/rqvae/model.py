"""The RQ-VAE: a vector goes through an encoder, level by level to the nearest code, and back through a decoder.

Source: Lee et al. 2022, "Autoregressive Image Generation using Residual Quantization"; for items, Rajput et al. 2023
(TIGER) and Zheng et al. 2024 (LC-Rec), whose sizes and losses these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import msgspec
import torch
from torch import Tensor, nn

from lcrec.rqvae.sinkhorn import sinkhorn_assign

_LAYERS = (2048, 1024, 512, 256, 128, 64)
"""LC-Rec's encoder, for vectors of 4,096 numbers."""


class RqVaeConfig(msgspec.Struct, frozen=True):
    """Shape and losses of an RQ-VAE.

    Attributes:
        dimensions: of the vectors.
        hidden: widths of the encoder's layers; the decoder has them in reverse.
        latent: dimensions that are quantised.
        levels: codes an item.
        width: codes a level.
        commitment: weight of the loss that holds the encoder near its codes.
        epsilon: of Sinkhorn at the last level; 0: nearest code.
        iterations: of Sinkhorn.
    """

    dimensions: int
    hidden: tuple[int, ...]
    latent: int = 32
    levels: int = 4
    width: int = 256
    commitment: float = 0.25
    epsilon: float = 0.003
    iterations: int = 50


def default_layers(dimensions: int) -> tuple[int, ...]:
    """Return encoder widths for vectors of a size: LC-Rec's, without those far wider than the vectors."""
    return tuple(width for width in _LAYERS if width <= 1.5 * dimensions) or (64,)


@dataclass(frozen=True)
class Losses:
    """The loss of a batch in its parts, scalars that carry a gradient.

    Attributes:
        reconstruction: mean squared error of the vectors.
        quantization: over the levels, codebook loss and weighted commitment.
        used: int64 `[levels, vectors]` the codes that were assigned.
    """

    reconstruction: Tensor
    quantization: Tensor
    used: Tensor


class RqVae(nn.Module):
    """Encoder, codebooks and decoder; vectors are standardised by buffers of their own."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: RqVaeConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.dimensions, *config.hidden, config.latent)
        self.encoder = _perceptron(widths)
        self.decoder = _perceptron(widths[::-1])
        self.codebooks = nn.Parameter(torch.zeros(config.levels, config.width, config.latent))
        self.register_buffer("mean", torch.zeros(config.dimensions))
        self.register_buffer("scale", torch.ones(config.dimensions))

    @torch.no_grad()
    def fit_scale(self, vectors: Tensor) -> None:
        """Set mean and deviation of `vectors [items, dimensions]`, by which all vectors are standardised."""
        self.mean.copy_(vectors.mean(dim=0))
        deviation = vectors.std(dim=0, correction=0)
        self.scale.copy_(torch.where(deviation > 1e-8, deviation, torch.ones_like(deviation)))

    def standardize(self, vectors: Tensor) -> Tensor:
        """Return vectors with mean zero and deviation one in every dimension."""
        return (vectors - self.mean) / self.scale

    def latents(self, vectors: Tensor) -> Tensor:
        """Return `[vectors, latent]`, what the codes stand for."""
        return self.encoder(self.standardize(vectors))

    def losses(self, vectors: Tensor) -> Losses:
        """Return the losses of a batch `[vectors, dimensions]`, the last level assigned by Sinkhorn."""
        target = self.standardize(vectors)
        latent = self.encoder(target)
        residual, total, used = latent, torch.zeros_like(latent), []
        quantization = latent.new_zeros(())
        for level in range(self.config.levels):
            index = self._assign(residual.detach(), level)
            code = self.codebooks[level][index]
            quantization = quantization + nn.functional.mse_loss(code, residual.detach())
            quantization = quantization + self.config.commitment * nn.functional.mse_loss(residual, code.detach())
            residual, total = residual - code.detach(), total + code
            used.append(index)
        straight = latent + (total - latent).detach()
        reconstruction = nn.functional.mse_loss(self.decoder(straight), target)
        return Losses(reconstruction, quantization, torch.stack(used))

    @torch.no_grad()
    def _assign(self, residual: Tensor, level: int) -> Tensor:
        distance = squared_distances(residual, self.codebooks[level])
        if level < self.config.levels - 1 or not self.config.epsilon:
            return distance.argmin(dim=1)
        return sinkhorn_assign(distance, self.config.epsilon, self.config.iterations)


def squared_distances(points: Tensor, centers: Tensor) -> Tensor:
    """Return `[points, centers]` squared distances."""
    return (points**2).sum(dim=1, keepdim=True) - 2 * points @ centers.T + (centers**2).sum(dim=1)


def _perceptron(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network
