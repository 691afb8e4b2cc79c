"""The stored quantizer: what gives a new item codes from its text alone, as the old ones got theirs.

    DATASET/quantizer/quantizer.json        how items were coded: encoder, sizes, settings, training
    DATASET/quantizer/quantizer.safetensors codebooks, and an RQ-VAE's networks

`codes.json` names the folder by its hash (`method.quantizer_sha256`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lcrec.dataset_files import read_codes_method
from lcrec.embeddings.encoder import EncoderFacts, TextEncoder
from lcrec.embeddings.item_texts import item_text
from lcrec.embeddings.loading import load_encoder
from lcrec.errors import QuantizerError
from lcrec.items import Int32, Item
from lcrec.residual_kmeans import Quantization, nearest_path
from lcrec.rqvae.model import RqVae, RqVaeConfig
from lcrec.rqvae.training import codebook_centers, latent_vectors
from odllm_artifact import (
    ArtifactError,
    Progress,
    read_json,
    sha256_file,
    sha256_folder,
    silent,
    write_folder,
    write_json,
)

Float32 = NDArray[np.float32]

FOLDER = "quantizer"
"""Name of the quantizer's folder in a dataset folder."""

SCHEMA_VERSION = 1

_CARD, _TENSORS = "quantizer.json", "quantizer.safetensors"


class QuantizerCard(msgspec.Struct, frozen=True):
    """`quantizer.json`.

    Attributes:
        kind: how vectors become codes.
        encoder: what made the vectors.
        code_sizes: codes a level.
        settings: of the training and of how collisions were resolved.
        config: shape of the RQ-VAE; None for k-means.
        history: diagnostics of each epoch; empty for k-means.
        schema_version: a reader refuses newer ones.
        tensors_sha256: of the file with the numbers.
    """

    kind: Literal["rqvae", "kmeans"]
    encoder: EncoderFacts
    code_sizes: tuple[int, ...]
    settings: dict[str, Any]
    config: RqVaeConfig | None = None
    history: list[dict[str, Any]] = []
    schema_version: int = SCHEMA_VERSION
    tensors_sha256: str = ""


@dataclass(frozen=True, eq=False)
class Quantizer:
    """Vectors to codes.

    Attributes:
        card: how it was made.
        centers: float32 `[codes, latent]`, one array a level.
        model: the RQ-VAE; None for k-means, whose centres lie among the vectors themselves.
        sha256: of the folder it was read from; empty before it is written.
    """

    card: QuantizerCard
    centers: tuple[Float32, ...] = field(repr=False)
    model: RqVae | None = field(repr=False, default=None)
    sha256: str = ""

    def quantize(self, vectors: Float32) -> Quantization:
        """Return the nearest codes of vectors `[items, dimensions]`, with what they were nearest to.

        Raises:
            QuantizerError: vectors of another size than the encoder's.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.card.encoder.dimensions:
            raise QuantizerError(
                f"vectors of shape {list(vectors.shape)}; this quantizer takes [items, {self.card.encoder.dimensions}]"
            )
        latents = vectors if self.model is None else latent_vectors(self.model, vectors)
        return Quantization(nearest_path(latents, self.centers), self.centers, latents)

    def embed(self, items: Sequence[Item], encoder: TextEncoder | None = None, progress: Progress = silent) -> Float32:
        """Return float32 `[items, dimensions]` of items' texts.

        Args:
            items: with title and text.
            encoder: the encoder it was made with; loaded by its name if not given.
            progress: told about finished texts.

        Raises:
            QuantizerError: the encoder is another one than the codes were made with.
            ModelError: the encoder is not there.
        """
        wanted = self.card.encoder
        encoder = encoder or load_encoder(wanted.name)
        if msgspec.structs.replace(encoder.facts, name=wanted.name) != wanted:
            raise QuantizerError(
                f"the codes were made with the encoder {_words(wanted)}, here is {_words(encoder.facts)}: vectors of "
                "the two have nothing to do with each other. Give the first, or build the codes again: odllm codes"
            )
        return encoder.encode([item_text(item) for item in items], progress)

    def encode(self, items: Sequence[Item], encoder: TextEncoder | None = None) -> Int32:
        """Return int32 `[items, levels]`, the nearest codes of items by their texts; items may share codes.

        Raises:
            QuantizerError: the encoder is another one than the codes were made with.
            ModelError: the encoder is not there.
        """
        return self.quantize(self.embed(items, encoder)).codes


def save_quantizer(quantizer: Quantizer, folder: Path, *, overwrite: bool = False) -> None:
    """Write a quantizer's folder, whole or not at all.

    Raises:
        ArtifactError: something is there already and `overwrite` is false, or it cannot be written.
    """
    if quantizer.model is None:
        tensors = {f"centers.{level}": torch.from_numpy(one) for level, one in enumerate(quantizer.centers)}
    else:
        tensors = {name: tensor.contiguous() for name, tensor in quantizer.model.state_dict().items()}
    with write_folder(folder, overwrite=overwrite) as staging:
        try:
            save_file(tensors, staging / _TENSORS)
        except SafetensorError as error:  # its own kind of error even for a full disk
            raise QuantizerError(f"cannot write {folder}: {error}. Free some space.") from error
        card = msgspec.structs.replace(quantizer.card, tensors_sha256=sha256_file(staging / _TENSORS))
        write_json(staging / _CARD, msgspec.to_builtins(card))


def dataset_quantizer(folder: Path) -> Quantizer:
    """Read the quantizer of a dataset folder, which must be the one that its `codes.json` names.

    Raises:
        QuantizerError: there is none, it is damaged, or the codes were made with another one.
        ItemCodesError: `codes.json` is missing or damaged.
    """
    method = read_codes_method(folder / "codes.json")
    quantizer = load_quantizer(folder / FOLDER)
    if method.get("quantizer_sha256") != quantizer.sha256:
        raise QuantizerError(f"{folder / FOLDER} is not the quantizer that {folder / 'codes.json'} names. {_AGAIN}")
    return quantizer


def load_quantizer(folder: Path) -> Quantizer:
    """Read a quantizer's folder.

    Raises:
        QuantizerError: it is missing, damaged, or from a newer version; the message names the file.
    """
    card = _read_card(folder / _CARD)
    try:
        if sha256_file(folder / _TENSORS) != card.tensors_sha256:
            raise QuantizerError(f"{folder / _TENSORS} is not what {_CARD} says: it is damaged. {_AGAIN}")
        tensors = load_file(folder / _TENSORS)
    except (ArtifactError, SafetensorError) as error:
        raise QuantizerError(f"{folder / _TENSORS} cannot be read: {error}. {_AGAIN}") from error
    model = None if card.config is None else _restore(card.config, tensors, folder)
    centers = codebook_centers(model) if model else tuple(tensors[name].numpy() for name in sorted(tensors))
    if len(centers) != len(card.code_sizes):
        raise QuantizerError(f"{folder} has {len(centers)} codebooks for {len(card.code_sizes)} levels. {_AGAIN}")
    return Quantizer(card, centers, model, sha256_folder(folder))


_AGAIN = "Build the codes again: odllm codes DATASET --embeddings … --overwrite"


def _restore(config: RqVaeConfig, tensors: dict[str, Tensor], folder: Path) -> RqVae:
    model = RqVae(config)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise QuantizerError(f"{folder / _TENSORS} holds another network than {_CARD} says: {error}") from error
    return model.eval()


def _read_card(path: Path) -> QuantizerCard:
    if (inner := path.parent / FOLDER / path.name).is_file():
        raise QuantizerError(f"{path.parent} is no quantizer but holds one: give {inner.parent}")
    if not path.is_file():
        raise QuantizerError(
            f"{path.parent} has no {path.name}: codes made from users' sequences or imported ones have no quantizer. "
            "Make codes from texts: odllm codes DATASET --embeddings minilm"
        )
    try:
        value = read_json(path)
        version = value.get("schema_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise QuantizerError(f"{path} has schema_version {version}; this odllm reads up to {SCHEMA_VERSION}")
        return msgspec.convert(value, QuantizerCard)
    except (ArtifactError, msgspec.ValidationError) as error:
        raise QuantizerError(f"{path}: {error}. {_AGAIN}") from error


def _words(facts: EncoderFacts) -> str:
    return f"{facts.name} ({facts.sha256[:12]}, {facts.pooling}, {facts.max_tokens} tokens, {facts.dimensions} numbers)"
