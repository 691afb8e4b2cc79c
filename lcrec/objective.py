"""What training minimises: the surprise at every code, and with a teacher the distance from its distribution too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from lcrec.errors import ModelError
from lcrec.prompt import Prompt
from lcrec.windows import TokenBatch


@dataclass(frozen=True)
class Teacher:
    """A trained recommender from whose distribution over the next token a new one learns.

    Attributes:
        model: in evaluation mode, speaking the new one's tokens.
        prompt: that it was trained with.
        sha256: of its folder: names it in reports, and tells one teacher's checkpoint from another's.
        weight: share of the distance from the teacher in the loss; the rest is the cross-entropy of the codes.

    Raises:
        ModelError: the weight is out of range.
    """

    model: PreTrainedModel
    prompt: Prompt
    sha256: str
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ModelError(f"the teacher's weight is {self.weight}; expected above 0 and at most 1")

    def require_prompt(self, prompt: Prompt) -> None:
        """Check that the teacher reads the tokens that the new model will read.

        Raises:
            ModelError: it does not.
        """
        if self.prompt != prompt:
            raise ModelError(
                f"the teacher was trained with the prompt {self.prompt}, the new model with {prompt}. "
                "Train it on the same dataset, with the same words and the same --max-items."
            )


def next_code_loss(
    model: PreTrainedModel, batch: TokenBatch, dropout: float = 0.0, teacher: Teacher | None = None
) -> Tensor:
    """Return the mean cross-entropy of every code given all tokens before it, mixed with the teacher's divergence."""
    logits, codes = _code_logits(model, batch, dropout)
    surprise = F.cross_entropy(logits, codes)
    if teacher is None:
        return surprise
    with torch.no_grad():
        target = _code_logits(teacher.model, batch, 0.0)[0].log_softmax(dim=-1)
    apart = F.kl_div(logits.log_softmax(dim=-1), target, reduction="batchmean", log_target=True)
    return (1 - teacher.weight) * surprise + teacher.weight * apart


def _code_logits(model: PreTrainedModel, batch: TokenBatch, dropout: float) -> tuple[Tensor, Tensor]:
    """Return float32 logits `[codes, vocabulary]` where a code is to be predicted, and these codes `[codes]`.

    Right padding needs no mask: a causal model never looks right, and padding carries no loss.
    """
    ids = torch.from_numpy(batch.ids)
    embedded = F.dropout(model.get_input_embeddings()(ids), dropout, training=model.training)
    hidden = model.model(inputs_embeds=embedded, use_cache=False).last_hidden_state[:, :-1]
    predicted = torch.from_numpy(batch.predicted)[:, 1:]
    return model.lm_head(hidden[predicted]).float(), ids[:, 1:][predicted]
