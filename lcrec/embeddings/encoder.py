"""A text encoder: tokens in batches of like length, states pooled over exactly the tokens of each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lcrec.embeddings.sentence_files import Pooling
from odllm_artifact import Progress, silent

Float32 = NDArray[np.float32]

_BATCH_TOKENS = 8192
"""Tokens of a batch, padding included: enough for the matrices to be busy, few enough for a small memory."""

_BATCH_TEXTS = 128
"""Texts of a batch at most."""


class EncoderFacts(msgspec.Struct, frozen=True):
    """What makes an encoder's vectors what they are; a quantizer records it.

    Attributes:
        name: what the user called it.
        sha256: of its weights and its vocabulary.
        kind: `sentence`: an encoder that reads both ways; `causal`: a language model.
        pooling: over the tokens' states.
        normalize: whether vectors have length one.
        max_tokens: tokens read of a text at most.
        dimensions: of a vector.
    """

    name: str
    sha256: str
    kind: Literal["sentence", "causal"]
    pooling: Pooling
    normalize: bool
    max_tokens: int
    dimensions: int


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """Makes vectors of texts.

    Attributes:
        facts: what it is.
        model: gives `last_hidden_state` for token ids and an attention mask.
        tokenizer: of the model.
    """

    facts: EncoderFacts
    model: PreTrainedModel = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)

    def encode(self, texts: Sequence[str], progress: Progress = silent) -> Float32:
        """Return float32 `[texts, dimensions]`; equal texts get equal vectors, texts without a token zeros.

        Args:
            texts: one line each; what is beyond `max_tokens` is left out.
            progress: told about finished texts.
        """
        different = list(dict.fromkeys(texts))
        place = {text: row for row, text in enumerate(different)}
        vectors = np.zeros((len(different), self.facts.dimensions), dtype=np.float32)
        ids = self._tokens(different)
        done = sum(not one for one in ids)
        for rows in _batches([len(one) for one in ids]):
            progress(done, len(different), "texts embedded")
            vectors[rows] = self._embed([ids[row] for row in rows])
            done += len(rows)
        progress(len(different), max(len(different), 1), "texts embedded")
        return vectors[[place[text] for text in texts]]

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of every text; none for a text of which only special tokens would be left."""
        wanted = [row for row, text in enumerate(texts) if text.strip()]
        ids: list[list[int]] = [[] for _ in texts]
        if wanted:
            encoded = self.tokenizer([texts[row] for row in wanted], truncation=True, max_length=self.facts.max_tokens)
            for row, one in zip(wanted, encoded["input_ids"], strict=True):
                ids[row] = list(one)
        return ids

    @torch.no_grad()
    def _embed(self, ids: Sequence[list[int]]) -> Float32:
        """Return float32 `[texts, dimensions]` of one batch, padded on the right."""
        lengths = torch.tensor([len(one) for one in ids])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]  # [texts, tokens]
        padded = torch.full(mask.shape, self.tokenizer.pad_token_id or 0)
        padded[mask] = torch.tensor([token for one in ids for token in one])
        states = self.model(input_ids=padded, attention_mask=mask.long()).last_hidden_state.float()
        vectors = _pool(states, mask, self.facts.pooling)
        if self.facts.normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        return vectors.numpy()


def _pool(states: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Return `[texts, dimensions]` of states `[texts, tokens, dimensions]`, padding left out."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        return states[torch.arange(len(states)), mask.sum(dim=1) - 1]
    if pooling == "max":
        return states.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)
    kept = states.masked_fill(~mask[:, :, None], 0.0)
    return kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield rows of like length, longest first: what does not fit the memory is seen at once."""
    rows = [row for row in np.argsort([-length for length in lengths], kind="stable").tolist() if lengths[row]]
    while rows:
        count = min(_BATCH_TEXTS, max(1, _BATCH_TOKENS // lengths[rows[0]]))
        yield rows[:count]
        rows = rows[count:]
