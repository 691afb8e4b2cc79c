"""What fine-tuning minimises: the surprise at every token of a response."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lcrec.windows import TokenBatch


class ResponseLoss(nn.Module):
    """A causal language model as a function of a batch to its loss, so that it can be wrapped for several devices.

    Args:
        model: of transformers, or wrapped by PEFT.
        bfloat16: compute matrix products in bfloat16.
        cache_casts: keep the weights' bfloat16 copies between forward and backward; costs their size.
    """

    def __init__(self, model: Any, *, bfloat16: bool, cache_casts: bool = True) -> None:
        super().__init__()
        self.model = model
        self.in_bfloat16, self.cache_casts = bfloat16, cache_casts

    @property
    def _no_split_modules(self) -> Any:
        """The blocks by class name: what FSDP shards one by one."""
        return self.model._no_split_modules

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding: FSDP asks for it."""
        return self.model.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the head: FSDP asks for it."""
        return self.model.get_output_embeddings()

    def forward(self, ids: Tensor, predicted: Tensor) -> Tensor:
        """Return the summed cross-entropy of the predicted tokens in nats, a float32 scalar.

        Args:
            ids: int64 `[rows, tokens]`, padded on the right: a causal model never looks there, no mask is needed.
            predicted: bool `[rows, tokens]`, true on the tokens of responses.
        """
        language_model = self.model
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.in_bfloat16, cache_enabled=self.cache_casts):
            hidden = language_model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
            # The head is the widest product of all: it is computed where something is predicted only.
            logits = language_model.get_output_embeddings()(hidden[predicted[:, 1:]])
        return F.cross_entropy(logits.float(), ids[:, 1:][predicted[:, 1:]], reduction="sum")


def on_device(batch: TokenBatch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the ids and the predicted places of a batch as `ResponseLoss` takes them."""
    return torch.from_numpy(batch.ids).to(device), torch.from_numpy(batch.predicted).to(device)
