"""One step of a fine-tuning on Accelerate: batches added up, gradients clipped, one update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from lcrec.errors import FineTuningError
from lcrec.finetune.batches import pad, share_of
from lcrec.finetune.code_rows import CodeRows, scaled_update
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.response_loss import on_device
from lcrec.tasks.encoding import EncodedSample


class Stepper:
    """A model and an optimizer, prepared by Accelerate, ready to take steps.

    Args:
        loss: `ResponseLoss`, wrapped for the devices.
        optimizer: of what learns.
        learning: the weights that learn.
        new_rows: rows of theirs that learn at a rate of their own.
        config: the recipe.
        accelerator: joins the processes.
    """

    def __init__(
        self,
        loss: nn.Module,
        optimizer: Any,
        learning: Sequence[nn.Parameter],
        new_rows: Sequence[CodeRows],
        config: FineTuneConfig,
        accelerator: Accelerator,
    ) -> None:
        self.loss, self.optimizer, self.learning, self.new_rows = loss, optimizer, learning, new_rows
        self.config, self.accelerator = config, accelerator

    def step(self, batches: Sequence[Sequence[EncodedSample]], number: int, done: float) -> tuple[float, int]:
        """Take step `number` over all processes' batches, a share `done` of the run being behind it.

        Returns:
            The summed loss of the responses' tokens in nats, and how many they are.

        Raises:
            FineTuningError: loss or gradients are not finite; nothing was changed.
        """
        config, accelerator = self.config, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * scheduled(done, config.warmup)
        # Dropout follows from the step alone: a run that goes on draws what the killed one would have drawn.
        torch.manual_seed((config.seed * 1_000_003 + number) * 1000 + accelerator.process_index)
        learned = learned_tokens(batches)
        self.loss.train()
        total = float(accelerator.reduce(self._backward(batches, learned), "sum"))
        norm = float(accelerator.clip_grad_norm_(self.learning, config.max_grad_norm))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise FineTuningError(
                f"step {number + 1}: the loss is {total / max(learned, 1)}, the gradients' norm {norm}"
            )
        with scaled_update(self.new_rows, config.new_rows_rate):
            self.optimizer.step()
        self.optimizer.zero_grad()
        return total, learned

    def _backward(self, batches: Sequence[Sequence[EncodedSample]], learned: int) -> Tensor:
        """Add up this process's share of the gradients of the step's mean loss; return its summed loss."""
        accelerator, total = self.accelerator, torch.zeros((), device=self.accelerator.device)
        processes = accelerator.num_processes
        mine = share_of(batches, processes, accelerator.process_index)
        for place, samples in enumerate(mine):
            # Gradients meet once a step, at its last batch.
            with nullcontext() if place == len(mine) - 1 else accelerator.no_sync(self.loss):
                loss = self.loss(*on_device(pad(samples), accelerator.device))
                # Processes' gradients are averaged: times their number, they are added up.
                accelerator.backward(loss * (processes / max(learned, 1)))
            total += loss.detach()
        return total


def learned_tokens(batches: Sequence[Sequence[EncodedSample]]) -> int:
    """Return how many tokens of the batches carry loss; a sequence's first token is never predicted."""
    return sum(int(sample.learned[1:].sum()) for batch in batches for sample in batch)


def scheduled(done: float, warmup: float) -> float:
    """Fraction of the highest learning rate: a linear rise over the share `warmup` of the run, then a cosine to 0."""
    if done < warmup:
        return done / warmup
    return (1 + math.cos(math.pi * min((done - warmup) / (1 - warmup), 1.0))) / 2
