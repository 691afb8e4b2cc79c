"""Item codes from text vectors: a quantizer is fitted, every item coded, collisions resolved, the rest reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.code_collisions import resolve_collisions
from lcrec.dataset import Dataset, save_codes
from lcrec.embeddings.encoder import EncoderFacts
from lcrec.errors import QuantizerError
from lcrec.item_codes import ItemCodesResult, check_shape, default_width
from lcrec.items import ItemCodes
from lcrec.residual_kmeans import Quantization, quantize
from lcrec.rqvae.collisions import resolve_by_sinkhorn
from lcrec.rqvae.model import RqVaeConfig, default_layers
from lcrec.rqvae.quantizer import FOLDER, Quantizer, QuantizerCard, save_quantizer
from lcrec.rqvae.training import RqVaeRecipe, check_vectors, codebook_centers, train_rqvae
from odllm_artifact import Progress, sha256_folder, silent

Collisions = Literal["assign", "sinkhorn", "keep"]
"""What becomes of items that share all codes: Sinkhorn rounds and then a code each, Sinkhorn rounds alone, nothing."""


@dataclass(frozen=True)
class TextCodesOptions:
    """How codes are made from text vectors.

    Attributes:
        method: residual k-means of the vectors, or an RQ-VAE.
        levels: codes an item.
        width: codes a level; None: `default_width`.
        latent: dimensions that an RQ-VAE quantises.
        hidden: an RQ-VAE's layers; None: `default_layers`.
        recipe: an RQ-VAE's training.
        epsilon: of Sinkhorn, in training and on collisions.
        iterations: of Sinkhorn.
        collisions: what becomes of items that share all codes.
        seed: of everything random.
    """

    method: Literal["kmeans", "rqvae"] = "rqvae"
    levels: int = 4
    width: int | None = None
    latent: int = 32
    hidden: tuple[int, ...] | None = None
    recipe: RqVaeRecipe = field(default_factory=RqVaeRecipe)
    epsilon: float = 0.003
    iterations: int = 50
    collisions: Collisions = "assign"
    seed: int = 0


def build_text_codes(
    dataset: Dataset,
    vectors: NDArray[np.float32],
    encoder: EncoderFacts,
    options: TextCodesOptions,
    *,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> tuple[ItemCodesResult, Quantizer]:
    """Return codes for every item and the quantizer that gives new items theirs.

    Args:
        dataset: only its items are used.
        vectors: float32 `[items, dimensions]`, of their texts.
        encoder: what made the vectors.
        options: how.
        checkpoint: a file that a killed training goes on from.
        progress: told about finished epochs or levels.

    Raises:
        ItemCodesError: levels outside 2 to 6, a width outside 2 to 65,536, or a dataset without items.
        QuantizerError: vectors or a loss that are not finite, or an option that does not exist.
    """
    width = default_width(len(dataset.items)) if options.width is None else options.width
    check_shape(dataset, options.levels, width)
    if options.collisions not in get_args(Collisions):
        raise QuantizerError(f"collisions {options.collisions!r} is not one of {', '.join(get_args(Collisions))}")
    fit = _fit_rqvae if options.method == "rqvae" else _fit_kmeans
    quantizer = fit(vectors, encoder, options, width, checkpoint, progress)
    nearest = quantizer.quantize(vectors)
    codes, facts = _resolve(nearest, width, options)
    statistics = codes.statistics() | facts
    statistics["unexplained"] = [round(share, 4) for share in nearest.error()]
    if quantizer.card.history:
        statistics["reconstruction_error"] = quantizer.card.history[-1]["reconstruction_error"]
    method = {
        "name": "rqvae" if options.method == "rqvae" else "residual-kmeans",
        **quantizer.card.settings,
        "embeddings": encoder.name,
        "encoder_sha256": encoder.sha256,
    }
    return ItemCodesResult(codes, statistics, method), quantizer


def save_text_codes(folder: Path, dataset: Dataset, result: ItemCodesResult, quantizer: Quantizer) -> dict[str, Any]:
    """Write the quantizer's folder and then `codes.json`, which names it by hash; return the method it records.

    Raises:
        ArtifactError: they cannot be written.
    """
    save_quantizer(quantizer, folder / FOLDER, overwrite=True)
    method = result.method | {"quantizer_sha256": sha256_folder(folder / FOLDER)}
    save_codes(folder, result.codes, dataset.item_ids, method, result.statistics)
    return method


def collapse_warnings(statistics: dict[str, Any]) -> list[str]:
    """Return a sentence for every level that uses less than half of the codes it could, with a remedy."""
    words = []
    for number, level in enumerate(statistics["levels"], start=1):
        possible = min(level["size"], statistics["distinct_codes"])
        if level["used"] < possible / 2:
            words.append(
                f"level {number} has collapsed: {level['used']} of {possible} codes are used. Train longer, give "
                "unused codes new places (--restart-dead), lower the learning rate, or choose a smaller --width."
            )
    return words


def _fit_rqvae(
    vectors: NDArray[np.float32],
    encoder: EncoderFacts,
    options: TextCodesOptions,
    width: int,
    checkpoint: Path | None,
    progress: Progress,
) -> Quantizer:
    config = RqVaeConfig(
        dimensions=encoder.dimensions,
        hidden=default_layers(encoder.dimensions) if options.hidden is None else options.hidden,
        latent=options.latent,
        levels=options.levels,
        width=width,
        epsilon=options.epsilon,
        iterations=options.iterations,
    )
    model, history = train_rqvae(
        vectors, config, options.recipe, seed=options.seed, checkpoint=checkpoint, progress=progress
    )
    settings = _settings(options, width) | msgspec.to_builtins(config) | msgspec.to_builtins(options.recipe)
    card = QuantizerCard("rqvae", encoder, (width,) * options.levels, settings, config, history)
    return Quantizer(card, codebook_centers(model), model)


def _fit_kmeans(
    vectors: NDArray[np.float32],
    encoder: EncoderFacts,
    options: TextCodesOptions,
    width: int,
    checkpoint: Path | None,
    progress: Progress,
) -> Quantizer:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    check_vectors(vectors)
    # Threads would add floats up in another order each time: other clusters from the same seed.
    with threadpool_limits(limits=1):
        found = quantize(vectors, options.levels, width, options.seed, lambda done: progress(done, options.levels))
    card = QuantizerCard("kmeans", encoder, (width,) * options.levels, _settings(options, width))
    return Quantizer(card, found.centers)


def _settings(options: TextCodesOptions, width: int) -> dict[str, Any]:
    return {"levels": options.levels, "width": width, "seed": options.seed, "collisions": options.collisions}


def _resolve(nearest: Quantization, width: int, options: TextCodesOptions) -> tuple[ItemCodes, dict[str, Any]]:
    """Return the codes after collisions were resolved, and what that did."""
    sizes = (width,) * options.levels
    facts = {"collisions_before": ItemCodes(nearest.codes, sizes).collisions()}
    facts |= {"sinkhorn_rounds": 0, "sinkhorn_changed": 0, "last_code_changed": 0, "moved": 0}
    resolved = nearest
    if options.collisions != "keep":
        rounds = resolve_by_sinkhorn(nearest, width, options.epsilon, options.iterations)
        resolved = rounds.quantization
        facts |= {"sinkhorn_rounds": rounds.rounds, "sinkhorn_changed": rounds.changed}
    facts["collisions_after_sinkhorn"] = ItemCodes(resolved.codes, sizes).collisions()
    if options.collisions == "assign":
        dealt = resolve_collisions(resolved, width)
        facts |= {"last_code_changed": dealt.last_code_changed, "moved": dealt.moved}
        return ItemCodes(dealt.codes, sizes), facts
    return ItemCodes(resolved.codes, sizes), facts
