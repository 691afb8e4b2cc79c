"""Vectors of a catalogue's texts, kept beside unfinished work so that a killed run does not embed again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from lcrec.embeddings.encoder import TextEncoder
from lcrec.embeddings.item_texts import item_text
from lcrec.errors import ItemCodesError
from lcrec.items import Item
from lcrec.torch_file import read_torch_file, write_torch_file
from odllm_artifact import Progress, silent


def embed_items(
    items: Sequence[Item], encoder: TextEncoder, cache: Path | None = None, progress: Progress = silent
) -> NDArray[np.float32]:
    """Return float32 `[items, dimensions]` of the items' texts.

    Args:
        items: with title and text.
        encoder: of texts.
        cache: a file for the vectors; read instead if it is of the same texts and encoder.
        progress: told about finished texts.

    Raises:
        ItemCodesError: no item has any words.
    """
    texts = [item_text(item) for item in items]
    if not any(texts):
        raise ItemCodesError(
            f"none of {len(items):,} items has a title or a text, so there is nothing to make vectors of; "
            "odllm codes without --embeddings goes by users' sequences"
        )
    fingerprint = hashlib.sha256(msgspec.json.encode([encoder.facts, texts])).hexdigest()
    kept = None if cache is None else read_torch_file(cache, fingerprint)
    if kept is not None:
        return kept["vectors"].numpy()
    vectors = encoder.encode(texts, progress)
    if cache is not None:
        write_torch_file(cache, {"fingerprint": fingerprint, "vectors": torch.from_numpy(vectors)})
    return vectors
