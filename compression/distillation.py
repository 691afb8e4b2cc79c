"""The loss of a distillation: divergence from a teacher's distribution over the next token, and that token itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from compression.calibration import CalibrationBatch

IGNORED = -100
"""The label of a position that has none, as torch's cross-entropy knows it."""


class CodeLogits(nn.Module):
    """A causal language model as a function of one batch, so that it can be wrapped for several processes.

    Args:
        model: dense or low-rank.
        ids: tokens whose logits are computed, int64; None computes the whole vocabulary.
        bfloat16: compute matrix products in bfloat16.
    """

    def __init__(self, model: Any, ids: torch.Tensor | None, *, bfloat16: bool = False) -> None:
        super().__init__()
        self.model = model
        self.ids = ids
        self.in_bfloat16 = bfloat16

    def forward(self, batch: CalibrationBatch, at: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logits, `[rows, vocabulary or len(ids)]`, at the positions `at`: all that are not padding."""
        at = batch.attention_mask.bool() if at is None else at
        with torch.autocast(batch.input_ids.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            hidden = self.model.model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=batch.positions(),
                use_cache=False,
            ).last_hidden_state[at]  # [rows, hidden]
            head = self.model.lm_head.weight if self.ids is None else self.model.lm_head.weight[self.ids]
            return hidden @ head.mT


def divergence(student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return the mean KL(teacher ‖ student) in nats over the rows of two `[rows, tokens]` logits.

    With a temperature both are softened, and the result is scaled by its square so that gradients keep their size.
    """
    student_log = torch.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher_log = torch.log_softmax(teacher_logits.float() / temperature, dim=-1)
    each = nn.functional.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)
    return each * temperature**2


def next_tokens(batch: CalibrationBatch, ids: torch.Tensor | None, vocabulary: int) -> torch.Tensor:
    """Return what came next at every position that is not padding, int64 `[rows]` as `CodeLogits` orders them.

    The value is the token's place in `ids` (the token itself where `ids` is None), `IGNORED` where nothing came next
    or the token is not among `ids`.
    """
    real = batch.attention_mask.bool()
    places = torch.full((vocabulary,), IGNORED)
    known = torch.arange(vocabulary) if ids is None else ids.cpu()
    places[known] = torch.arange(len(known))
    following = torch.full(batch.input_ids.shape, IGNORED)
    following[:, :-1] = torch.where(real[:, 1:].cpu(), places[batch.input_ids[:, 1:].cpu()], IGNORED)
    return following[real.cpu()]


def distillation_loss(
    logits: torch.Tensor, target: torch.Tensor, labels: torch.Tensor, label_weight: float, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss and the divergence in it: (1 − `label_weight`) · divergence + `label_weight` · cross-entropy."""
    apart = divergence(logits, target, temperature)
    if not label_weight or not bool((labels != IGNORED).any()):
        return apart, apart
    surprise = nn.functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED)
    return (1 - label_weight) * apart + label_weight * surprise, apart


def among_legal(
    legal: torch.Tensor, logits: torch.Tensor, target: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits, target and labels of the rows where anything is legal, with nothing on what is not.

    Args:
        legal: bool `[rows, candidates]`.
        logits: of the student, `[rows, candidates]`.
        target: of the teacher, the same.
        labels: int64 `[rows]`.
    """
    rows = legal.any(dim=1)
    legal, labels = legal[rows], labels[rows]
    known = (labels != IGNORED) & legal.gather(1, labels.clamp_min(0)[:, None])[:, 0]
    never = -1e9  # not infinite: a divergence would take infinity from infinity
    return (
        logits[rows].float().masked_fill(~legal, never),
        target[rows].float().masked_fill(~legal, never),
        labels.where(known, IGNORED),
    )
