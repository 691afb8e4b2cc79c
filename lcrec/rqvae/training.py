"""Training of an RQ-VAE on the vectors of a catalogue, with what is needed to see a collapse; resumable.

Codebooks start as residual k-means of the untrained encoder's latents. A code that no item uses after an epoch is
given the residual of an item that its level describes badly: without it, the first level of LC-Rec's own Games codes
uses 208 of 256.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from lcrec.errors import QuantizerError
from lcrec.items import ItemCodes
from lcrec.residual_kmeans import nearest_path, quantize
from lcrec.rqvae.model import RqVae, RqVaeConfig
from lcrec.torch_file import read_torch_file, write_torch_file
from odllm_artifact import Progress, silent

Float32 = NDArray[np.float32]

_LOOK_ROWS = 8192
"""Items that go through a network at once where nothing is learned."""

_KMEANS_ROWS = 50_000
"""Items that the codebooks are initialised from at most."""


class RqVaeRecipe(msgspec.Struct, frozen=True):
    """How an RQ-VAE is trained.

    Attributes:
        epochs: passes over the items.
        batch: items a step, within which Sinkhorn spreads the last level's codes; None: `default_batch`.
        learning_rate: at the start; it falls to zero along a cosine.
        weight_decay: of AdamW.
        restart_dead: give unused codes a new place after each epoch; LC-Rec does not.
        checkpoint_every: epochs between checkpoints.
    """

    epochs: int = 100
    batch: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    restart_dead: bool = True
    checkpoint_every: int = 5


def default_batch(items: int) -> int:
    """Return the items a step: the power of two that makes about sixteen steps an epoch, within 64 and 1024."""
    return min(1024, max(64, 2 ** round(math.log2(max(items, 1) / 16))))


_RESTART_UNTIL = 0.8
"""Share of the epochs after which no code is moved any more, so that all settle."""


@dataclass
class _Run:
    """All of a training run that a checkpoint must hold."""

    model: RqVae
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path, fingerprint: str) -> None:
        state = {"epoch": self.epoch, "history": self.history, "fingerprint": fingerprint}
        write_torch_file(path, state | {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})

    def load(self, path: Path, fingerprint: str) -> None:
        """Go on from a checkpoint, unless another recipe or other vectors wrote it, or it is damaged."""
        state = read_torch_file(path, fingerprint)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.history = state["epoch"], state["history"]


def train_rqvae(
    vectors: Float32,
    config: RqVaeConfig,
    recipe: RqVaeRecipe,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> tuple[RqVae, list[dict[str, Any]]]:
    """Train an RQ-VAE; the same input, seed and threads give the same codes, resumed or not.

    Args:
        vectors: float32 `[items, dimensions]`.
        config: shape and losses.
        recipe: epochs, batches, rates.
        seed: of the weights, the k-means and the order of items.
        checkpoint: a file that a killed run goes on from.
        progress: told about finished epochs.

    Returns:
        The model, and one entry an epoch: both losses over the batches, the `reconstruction_error` over all items
        (mean squared error of standardised vectors, 1 for the mean vector), `collision_rate` (0 to 1), codes `used`
        and `perplexity` by level, and how many codes were `restarted`.

    Raises:
        QuantizerError: vectors that are not finite, or a loss that is not; the last checkpoint stays.
    """
    check_vectors(vectors)
    points = torch.from_numpy(vectors)
    torch.manual_seed(seed)
    model = RqVae(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    run, fingerprint = _Run(model, optimizer), _fingerprint(vectors, config, recipe, seed)
    if checkpoint is not None:
        run.load(checkpoint, fingerprint)
    if run.epoch == 0:
        model.fit_scale(points)
        _initialise_codebooks(model, points, seed)
    while run.epoch < recipe.epochs:
        facts = _train_epoch(run, points, recipe, seed)
        if checkpoint is not None and run.epoch % recipe.checkpoint_every == 0:
            run.save(checkpoint, fingerprint)
        note = f"error {facts['reconstruction_error']:.3f}, collisions {100 * facts['collision_rate']:.1f} %"
        progress(run.epoch, recipe.epochs, note)
    return model.eval(), run.history


def check_vectors(vectors: Float32) -> None:
    """Refuse vectors that nothing can be learned from.

    Raises:
        QuantizerError: there are none, or one is not finite.
    """
    if not len(vectors) or not np.isfinite(vectors).all():
        raise QuantizerError(f"{len(vectors)} vectors, or some not finite: embed the texts again with another model")


def codebook_centers(model: RqVae) -> tuple[Float32, ...]:
    """Return the codebooks, float32 `[width, latent]` a level."""
    return tuple(level.numpy().copy() for level in model.codebooks.detach())


@torch.no_grad()
def latent_vectors(model: RqVae, vectors: Float32) -> Float32:
    """Return float32 `[items, latent]`, what the codes of vectors `[items, dimensions]` stand for."""
    parts = [model.latents(part) for part in torch.from_numpy(vectors).split(_LOOK_ROWS)]
    return torch.cat(parts).numpy() if parts else np.zeros((0, model.config.latent), np.float32)


def _train_epoch(run: _Run, points: Tensor, recipe: RqVaeRecipe, seed: int) -> dict[str, Any]:
    """Go over all items once, look at the result, and give unused codes a new place."""
    # One seed an epoch: a resumed run sees the order that the killed one would have seen.
    generator = torch.Generator().manual_seed(seed * 1000 + run.epoch)
    sums = np.zeros(2)
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * run.epoch / recipe.epochs))
    for rows in torch.randperm(len(points), generator=generator).split(recipe.batch or default_batch(len(points))):
        losses = run.model.losses(points[rows])
        total = losses.reconstruction + losses.quantization
        if not math.isfinite(float(total.detach())):
            raise QuantizerError(
                f"the loss is {float(total.detach())} in epoch {run.epoch + 1}: choose a lower learning rate, or "
                "look for texts whose vectors are far from all others. Nothing was written."
            )
        run.optimizer.zero_grad(set_to_none=True)
        total.backward()
        run.optimizer.step()
        sums += len(rows) * np.array([losses.reconstruction.item(), losses.quantization.item()])
    run.epoch += 1
    facts = dict(zip(("reconstruction_loss", "quantization_loss"), (sums / len(points)).round(6).tolist(), strict=True))
    restart = recipe.restart_dead and run.epoch <= _RESTART_UNTIL * recipe.epochs
    facts |= _look(run.model, points, generator if restart else None)
    run.history.append(facts)
    return facts


@torch.no_grad()
def _look(model: RqVae, points: Tensor, restart: torch.Generator | None) -> dict[str, Any]:
    """Return how well the codes are used now; with a generator, move those that are not."""
    latents = latent_vectors(model, points.numpy())
    codes = nearest_path(latents, codebook_centers(model))
    error = _reconstruction_error(model, points, torch.from_numpy(codes).long())
    used = ItemCodes(codes, (model.config.width,) * model.config.levels)
    statistics = used.statistics()
    restarted = 0 if restart is None else _restart_dead(model, torch.from_numpy(latents), codes, restart)
    return {
        "reconstruction_error": round(error, 6),
        "collision_rate": round(statistics["collisions"] / used.items, 6),
        "used": [level["used"] for level in statistics["levels"]],
        "perplexity": [level["perplexity"] for level in statistics["levels"]],
        "restarted": restarted,
    }


def _reconstruction_error(model: RqVae, points: Tensor, codes: Tensor) -> float:
    """Return the mean squared error of standardised vectors `[items, dimensions]` given codes `[items, levels]`."""
    levels, total = torch.arange(model.config.levels), 0.0
    for part, index in zip(points.split(_LOOK_ROWS), codes.split(_LOOK_ROWS), strict=True):
        decoded = model.decoder(model.codebooks[levels, index].sum(dim=1))
        total += float(((decoded - model.standardize(part)) ** 2).sum())
    return total / points.numel()


def _restart_dead(model: RqVae, latents: Tensor, codes: NDArray[np.int32], generator: torch.Generator) -> int:
    """Put every code that no item has where an item is that its level describes badly; return how many."""
    residual, restarted = latents, 0
    for level, codebook in enumerate(model.codebooks):
        index = torch.from_numpy(codes[:, level]).long()
        left = residual - codebook[index]
        dead = torch.nonzero(torch.bincount(index, minlength=len(codebook)) == 0)[:, 0][: len(residual)]
        badness = (left**2).sum(dim=1) + 1e-12
        if len(dead):
            codebook[dead] = residual[torch.multinomial(badness, len(dead), generator=generator)]
        residual, restarted = left, restarted + len(dead)
    return restarted


@torch.no_grad()
def _initialise_codebooks(model: RqVae, points: Tensor, seed: int) -> None:
    """Set the codebooks to residual k-means of the latents; codes beyond the clusters get small random places."""
    rows = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:_KMEANS_ROWS]
    latents = latent_vectors(model, points[rows].numpy())
    # Threads would add floats up in another order each time: other clusters from the same seed.
    with threadpool_limits(limits=1):
        found = quantize(latents, model.config.levels, model.config.width, seed, lambda _: None)
    model.codebooks.normal_(std=float(latents.std()) or 1.0, generator=torch.Generator().manual_seed(seed))
    for level, centers in enumerate(found.centers):
        model.codebooks[level, : len(centers)] = torch.from_numpy(centers)


def _fingerprint(vectors: Float32, config: RqVaeConfig, recipe: RqVaeRecipe, seed: int) -> str:
    """Return a hash of all that decides a training run."""
    digest = hashlib.sha256(msgspec.json.encode([config, recipe, seed]))
    digest.update(vectors.tobytes())
    return digest.hexdigest()
