"""Steps of a distillation: the student's parameters follow the teacher's distribution over the next token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from compression.calibration import CalibrationBatch
from compression.distillation import CodeLogits, among_legal, distillation_loss, next_tokens
from compression.errors import CalibrationError
from compression.importance import Allowed
from compression.recovery_config import Recipe, RecoveryConfig


class Distiller:
    """Both models and the optimizer, ready to take steps.

    Args:
        student: a low-rank causal language model.
        teacher: the dense model it came from.
        learning: the student's parameters that change.
        code_token_ids: compare the distributions over these tokens only; None compares the whole vocabulary.
        allowed: which of `code_token_ids` may follow each position; None for all.
        config: of the recovery.
        accelerator: places models and batches, and joins gradients.
    """

    def __init__(
        self,
        student: Any,
        teacher: Any,
        learning: Sequence[nn.Parameter],
        code_token_ids: Sequence[int] | None,
        allowed: Allowed | None,
        config: RecoveryConfig,
        accelerator: Accelerator,
    ) -> None:
        ids = None if code_token_ids is None else torch.as_tensor(list(code_token_ids), device=accelerator.device)
        self._adam = torch.optim.AdamW(learning, weight_decay=config.weight_decay)
        self.teacher = CodeLogits(teacher, ids, bfloat16=config.bfloat16)
        self.student, self.optimizer = accelerator.prepare(
            CodeLogits(student, ids, bfloat16=config.bfloat16), self._adam
        )
        self.learning, self.ids, self.vocabulary = learning, ids, student.config.vocab_size
        self.allowed, self.config, self.accelerator = allowed, config, accelerator

    def begin(self) -> None:
        """Forget the moments of earlier steps."""
        self._adam.state.clear()

    def step(self, batches: Sequence[CalibrationBatch], recipe: Recipe, done: float) -> float:
        """Take one step over `batches`, the fraction `done` of a run being behind it.

        Returns:
            The mean divergence from the teacher before the step.

        Raises:
            CalibrationError: the divergence is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(done, self.config.warmup)
        return fmean(self._accumulate(batch, recipe.label_weight) for batch in batches)

    def _accumulate(self, batch: CalibrationBatch, label_weight: float) -> float:
        labels = next_tokens(batch, self.ids, self.vocabulary).to(self.accelerator.device)
        legal = None if self.allowed is None else self.allowed(batch)[batch.attention_mask.bool()]  # [rows, candidates]
        batch = batch.to(self.accelerator.device)
        with self.accelerator.accumulate(self.student):
            with torch.no_grad():
                target = self.teacher(batch)
            logits = self.student(batch)
            if legal is not None:
                logits, target, labels = among_legal(legal.to(logits.device), logits, target, labels)
            loss, apart = distillation_loss(logits, target, labels, label_weight, self.config.temperature)
            if not bool(torch.isfinite(loss)):
                raise CalibrationError(
                    f"the divergence from the dense model is {float(apart.detach())}. Lower the learning rate of the "
                    "recovery, or check both models for NaN weights."
                )
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.learning, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return float(apart.detach())


def _schedule(spent: float, warmup: float) -> float:
    """Fraction of the highest learning rate: a linear rise, then a cosine down to 1 %."""
    if spent < warmup:
        return max(spent / warmup, 0.01)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min((spent - warmup) / (1 - warmup), 1.0))) / 2
