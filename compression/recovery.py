"""Recovery: a short distillation of the factors from the dense model, apart from the training-free result.

Only the low-rank factors learn, or adapters on them (and the norms, if asked); everything else is as the compression
left it. The student is pulled to the teacher's distribution over the next token, at every position that is not
padding, and to the token that really came next.

Accelerate places models and batches, joins the gradients of several processes (`accelerate launch`) and accumulates
them; with one process on a CPU it costs nothing that could be measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from compression.calibration import CalibrationBatch, check_batches
from compression.distillation import CodeLogits, among_legal, distillation_loss, next_tokens
from compression.errors import CalibrationError
from compression.importance import Allowed
from compression.processes import from_first_process
from compression.recovery_config import RecoveryConfig, RecoveryReport
from compression.trainable import put_back, trainable, values_of
from odllm_artifact import Progress, silent

Validate = Callable[[Any], float]
"""Score of a student, higher is better."""


def recover(
    student: Any,
    teacher: Any,
    batches: Sequence[CalibrationBatch],
    config: RecoveryConfig,
    *,
    code_token_ids: Sequence[int] | None = None,
    allowed: Allowed | None = None,
    validate: Validate | None = None,
    progress: Progress = silent,
) -> RecoveryReport:
    """Distil the factors of `student` from `teacher`, in place, within a budget.

    Called by every process of an `accelerate launch`, each takes its share of the batches and all end with the same
    factors; the first process keeps the clock and validates.

    Args:
        student: a low-rank causal language model.
        teacher: the dense model it came from.
        batches: training sequences; drawn in random order, again and again.
        config: budget and schedule.
        code_token_ids: compare the distributions over these tokens only; None compares the whole vocabulary.
        allowed: which of `code_token_ids` may follow each position: the distributions are compared among those, where
            there are any. A model compressed by the importance of its choices has forgotten the rest, and should not
            spend its ranks on learning it again.
        validate: score of the student, higher is better; the best factors are kept, those before the first
            step included.
        progress: told after every step.

    Raises:
        ConfigError: the student has no low-rank projection, or the method needs a library that is not installed.
        CalibrationError: no or bad sequences, or the divergence is not finite.
    """
    started = time.monotonic()
    check_batches(batches, student.config.vocab_size)
    accelerator = Accelerator(gradient_accumulation_steps=config.accumulation)
    drawn = islice(_shuffled(batches, config.seed), accelerator.process_index, None, accelerator.num_processes)
    tokens = 0
    divergences: list[float] = []
    with _placed(accelerator.device, student, teacher), trainable(student, config) as learning:
        distillation = _Distillation(student, teacher, learning, code_token_ids, allowed, config, accelerator)
        best = _Best(student, learning, validate, config.validations)
        while True:
            # One clock for all processes: they must stop at the same step.
            spent = from_first_process(_spent(config, started, len(divergences)))
            if best.due(spent):
                best.ask(len(divergences), accelerator)
            if spent >= 1:
                break
            chosen = list(islice(drawn, config.accumulation))
            divergences.append(distillation.step(chosen, config.peak_learning_rate * _schedule(spent, config.warmup)))
            tokens += sum(batch.tokens for batch in chosen)
            if accelerator.is_main_process:
                progress(min(_spent(config, started, len(divergences)), 1.0), 1.0, f"KL {divergences[-1]:.4f}")
        best.put_back()
    tenth = max(len(divergences) // 10, 1)
    shares = gather_object([(_mean(divergences[:tenth]), _mean(divergences[-tenth:]), tokens)])
    return RecoveryReport(
        config=config,
        method=config.method,
        trainable_parameters=sum(parameter.numel() for parameter in learning),
        processes=accelerator.num_processes,
        steps=len(divergences),
        tokens=sum(share[2] for share in shares),
        seconds=time.monotonic() - started,
        kl_first=_mean([share[0] for share in shares]),
        kl_last=_mean([share[1] for share in shares]),
        validations=tuple(best.scores),
        best_step=len(divergences) if best.step is None else best.step,
    )


class _Distillation:
    """Both models and the optimizer, ready to take steps."""

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
        optimizer = torch.optim.AdamW(learning, lr=config.peak_learning_rate, weight_decay=config.weight_decay)
        self.teacher = CodeLogits(teacher, ids, bfloat16=config.bfloat16)
        self.student, self.optimizer = accelerator.prepare(
            CodeLogits(student, ids, bfloat16=config.bfloat16), optimizer
        )
        self.learning, self.ids, self.vocabulary = learning, ids, student.config.vocab_size
        self.allowed, self.config, self.accelerator = allowed, config, accelerator

    def step(self, batches: Sequence[CalibrationBatch], rate: float) -> float:
        """Take one step over `batches`; return the mean divergence from the teacher before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return _mean([self._accumulate(batch) for batch in batches])

    def _accumulate(self, batch: CalibrationBatch) -> float:
        labels = next_tokens(batch, self.ids, self.vocabulary).to(self.accelerator.device)
        legal = None if self.allowed is None else self.allowed(batch)[batch.attention_mask.bool()]  # [rows, candidates]
        batch = batch.to(self.accelerator.device)
        with self.accelerator.accumulate(self.student):
            with torch.no_grad():
                target = self.teacher(batch)
            logits = self.student(batch)
            if legal is not None:
                logits, target, labels = among_legal(legal.to(logits.device), logits, target, labels)
            loss, apart = distillation_loss(logits, target, labels, self.config.label_weight, self.config.temperature)
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


class _Best:
    """The best values of what learns, by the validation; without one, the last."""

    def __init__(
        self, student: Any, learning: Sequence[nn.Parameter], validate: Validate | None, validations: int
    ) -> None:
        self.student, self.learning, self.validate, self.validations = student, learning, validate, validations
        self.scores: list[tuple[int, float]] = []
        self.step: int | None = None
        self.values: list[torch.Tensor] = []

    def due(self, spent: float) -> bool:
        """Whether the next validation's turn has come: evenly over the run, at its start and at its end."""
        done = len(self.scores)
        return self.validate is not None and done <= self.validations and spent >= min(done / self.validations, 1.0)

    def ask(self, step: int, accelerator: Accelerator) -> None:
        """Validate in the first process, and keep the values if they are better than all before."""
        assert self.validate is not None
        with torch.no_grad():
            score = from_first_process(float(self.validate(self.student)) if accelerator.is_main_process else math.nan)
        if self.step is None or score > max(before for _, before in self.scores):
            self.step, self.values = step, values_of(self.learning)
        self.scores.append((step, score))

    def put_back(self) -> None:
        """Set what learns to its best values."""
        if self.step is not None:
            put_back(self.learning, self.values)


@contextmanager
def _placed(device: torch.device, *models: nn.Module) -> Iterator[None]:
    """Have the models on a device, and afterwards where they were."""
    before = [next(model.parameters()).device for model in models]
    try:
        for model in models:
            model.to(device)
        yield
    finally:
        for model, where in zip(models, before, strict=True):
            model.to(where)


def _spent(config: RecoveryConfig, started: float, steps: int) -> float:
    """Fraction of the budget used up, by steps or by the clock."""
    if config.max_steps is not None:
        return steps / config.max_steps
    assert config.seconds is not None
    return (time.monotonic() - started) / config.seconds


def _schedule(spent: float, warmup: float) -> float:
    """Fraction of the highest learning rate: a linear rise, then a cosine down to 1 %."""
    if spent < warmup:
        return max(spent / warmup, 0.01)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min((spent - warmup) / (1 - warmup), 1.0))) / 2


def _shuffled(batches: Sequence[CalibrationBatch], seed: int) -> Iterator[CalibrationBatch]:
    """Yield the batches that hold tokens for ever, each round in another order."""
    generator = torch.Generator().manual_seed(seed)
    filled = [batch for batch in batches if batch.tokens]
    while True:
        for i in torch.randperm(len(filled), generator=generator).tolist():
            yield filled[i]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
