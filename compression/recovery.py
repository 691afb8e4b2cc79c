"""Recovery: a short distillation of the factors from the dense model, apart from the training-free result.

Only the low-rank factors learn (and the norms, if asked); everything else is as the compression left it. The
student is pulled to the teacher's distribution over the next token, at every position that is not padding, and to
the token that really came next.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import nn

from compression.calibration import CalibrationBatch, check_batches
from compression.errors import CalibrationError, ConfigError
from compression.lowrank import factored_linears
from odllm_artifact import Progress, silent

IGNORED = -100
"""The label of a position that has none, as torch's cross-entropy knows it."""


class RecoveryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a recovery.

    Attributes:
        seconds: budget of wall time, validations included; None where `max_steps` bounds the run.
        max_steps: budget of steps, which makes the run repeatable bit for bit; None where `seconds` does.
        learning_rate: at its highest.
        warmup: fraction of the budget over which the learning rate rises; a cosine takes it down after.
        weight_decay: of AdamW.
        label_weight: share of the cross-entropy of the token that came next; the rest is the divergence from the
            teacher. Half and half recovered more NDCG than the divergence alone on three models (measured).
        temperature: softens both distributions of the divergence.
        train_norms: let the norms learn too.
        validations: how often the validation is asked during the run, beside once before it.
        seed: of the order of the batches.

    Raises:
        ConfigError: there is no budget, or an option is out of range.
    """

    seconds: float | None = None
    max_steps: int | None = None
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.0
    label_weight: float = 0.5
    temperature: float = 1.0
    train_norms: bool = False
    validations: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.max_steps is None):
            raise ConfigError("recovery needs one budget: give either seconds or max_steps")
        budget = self.seconds if self.max_steps is None else self.max_steps
        if budget is None or budget <= 0:
            raise ConfigError(f"the recovery's budget is {budget}; expected above 0. To skip recovery, leave it out.")
        if self.validations < 1:
            raise ConfigError(
                f"validations is {self.validations}; expected at least 1. To go without, give no validate."
            )
        if not 0 <= self.label_weight <= 1:
            raise ConfigError(f"label_weight is {self.label_weight}; expected 0 to 1")
        if min(self.learning_rate, self.temperature) <= 0 or not 0 <= self.warmup < 1:
            raise ConfigError(
                f"learning_rate {self.learning_rate}, temperature {self.temperature}, warmup {self.warmup}: "
                "expected the first two above 0 and warmup from 0 to below 1"
            )


class RecoveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did.

    Attributes:
        config: what was asked for.
        steps: taken.
        tokens: seen, padding left out.
        seconds: wall time, validations included.
        kl_first: mean KL divergence from the teacher over the first tenth of the steps, nats a token.
        kl_last: the same over the last tenth.
        validations: (step, score) in order; step 0 is the training-free model.
        best_step: the step whose factors were kept; the last where nothing validates.
    """

    config: RecoveryConfig
    steps: int
    tokens: int
    seconds: float
    kl_first: float
    kl_last: float
    validations: tuple[tuple[int, float], ...] = ()
    best_step: int = 0


@dataclass
class _Best:
    """The best factors so far, by the validation."""

    step: int
    score: float
    tensors: list[torch.Tensor]


def recover(
    student: Any,
    teacher: Any,
    batches: Sequence[CalibrationBatch],
    config: RecoveryConfig,
    *,
    code_token_ids: Sequence[int] | None = None,
    validate: Callable[[Any], float] | None = None,
    progress: Progress = silent,
) -> RecoveryReport:
    """Distil the factors of `student` from `teacher`, in place, within a budget.

    Args:
        student: a low-rank causal language model.
        teacher: the dense model it came from.
        batches: training sequences; drawn in random order, again and again.
        config: budget and schedule.
        code_token_ids: compare the distributions over these tokens only; None compares the whole vocabulary.
        validate: score of the student, higher is better; the best factors are kept, those before the first
            step included.
        progress: told after every step.

    Raises:
        ConfigError: the student has no low-rank projection.
        CalibrationError: no or bad sequences, or the divergence is not finite.
    """
    started = time.monotonic()
    check_batches(batches, student.config.vocab_size)
    learning = _learning_parameters(student, config)
    ids = None if code_token_ids is None else torch.as_tensor(list(code_token_ids), device=learning[0].device)
    budget = _Budget(config, started)
    divergences: list[float] = []
    scores: list[tuple[int, float]] = []
    best: _Best | None = None
    tokens = 0
    with _only_learning(student, learning):
        optimizer = torch.optim.AdamW(learning, lr=config.learning_rate, weight_decay=config.weight_decay)
        for batch in _shuffled(batches, config.seed):
            if validate is not None and budget.validation_due(len(divergences), len(scores)):
                best = _validated(student, learning, validate, len(divergences), best, scores)
            if budget.spent(len(divergences)) >= 1:
                break
            rate = config.learning_rate * _schedule(budget.spent(len(divergences)), config.warmup)
            divergences.append(_step(student, teacher, batch, ids, config, optimizer, rate))
            tokens += batch.tokens
            progress(budget.spent(len(divergences)), 1.0, f"KL {divergences[-1]:.4f}")
    if best is not None:
        _restore(learning, best.tensors)
    tenth = max(len(divergences) // 10, 1)
    return RecoveryReport(
        config=config,
        steps=len(divergences),
        tokens=tokens,
        seconds=time.monotonic() - started,
        kl_first=_mean(divergences[:tenth]),
        kl_last=_mean(divergences[-tenth:]),
        validations=tuple(scores),
        best_step=len(divergences) if best is None else best.step,
    )


@dataclass
class _Budget:
    """How much of the run is over, by the clock or by steps."""

    config: RecoveryConfig
    started: float

    def spent(self, steps: int) -> float:
        """Fraction of the budget used up."""
        if self.config.max_steps is not None:
            return steps / self.config.max_steps
        assert self.config.seconds is not None
        return (time.monotonic() - self.started) / self.config.seconds

    def validation_due(self, steps: int, done: int) -> bool:
        """Whether the next validation's turn has come: evenly over the run, at its start and at its end."""
        return self.spent(steps) >= min(done / self.config.validations, 1.0) and done <= self.config.validations


def divergence(student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return the mean KL(teacher ‖ student) in nats over the rows of two `[rows, tokens]` logits.

    With a temperature both are softened, and the result is scaled by its square so that gradients keep their size.
    """
    student_log = torch.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher_log = torch.log_softmax(teacher_logits.float() / temperature, dim=-1)
    each = nn.functional.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)
    return each * temperature**2


def _step(
    student: Any,
    teacher: Any,
    batch: CalibrationBatch,
    ids: torch.Tensor | None,
    config: RecoveryConfig,
    optimizer: torch.optim.Optimizer,
    rate: float,
) -> float:
    """Take one step; return the divergence from the teacher before it."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.no_grad():
        target = _logits(teacher, batch, ids)
    logits = _logits(student, batch, ids)
    apart = divergence(logits, target, config.temperature)
    loss = apart
    if config.label_weight:
        labels = next_tokens(batch, ids, student.config.vocab_size).to(logits.device)
        if bool((labels != IGNORED).any()):
            surprise = nn.functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED)
            loss = (1 - config.label_weight) * apart + config.label_weight * surprise
    if not bool(torch.isfinite(loss)):
        raise CalibrationError(
            f"the divergence from the dense model is {float(apart.detach())}. Lower the learning rate of the recovery, "
            "or check both models for NaN weights."
        )
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    return float(apart.detach())


def next_tokens(batch: CalibrationBatch, ids: torch.Tensor | None, vocabulary: int) -> torch.Tensor:
    """Return what came next at every position that is not padding, int64 `[rows]` as `_logits` orders them.

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


def _logits(model: Any, batch: CalibrationBatch, ids: torch.Tensor | None) -> torch.Tensor:
    """Return the logits at the positions that are not padding, `[rows, vocabulary or len(ids)]`."""
    batch = batch.to(model.lm_head.weight.device)
    hidden = model.model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.positions(),
        use_cache=False,
    ).last_hidden_state[batch.attention_mask.bool()]  # [rows, hidden]
    head = model.lm_head.weight if ids is None else model.lm_head.weight[ids]
    return hidden @ head.mT


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


def _learning_parameters(student: nn.Module, config: RecoveryConfig) -> list[nn.Parameter]:
    factors = factored_linears(student)
    if not factors:
        raise ConfigError("the student has no low-rank projection to train. Compress it below keep_ratio 1 first.")
    learning = [parameter for layer in factors.values() for parameter in layer.parameters()]
    if config.train_norms:
        learning += [parameter for name, parameter in student.named_parameters() if "norm" in name]
    return learning


@contextmanager
def _only_learning(student: nn.Module, learning: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let gradients reach only `learning`, without dropout; put everything back afterwards."""
    before = {parameter: parameter.requires_grad for parameter in student.parameters()}
    training = student.training
    student.eval()
    student.requires_grad_(False)
    for parameter in learning:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, wanted in before.items():
            parameter.requires_grad_(wanted)
            parameter.grad = None
        student.train(training)


def _validated(
    student: Any,
    learning: Sequence[nn.Parameter],
    validate: Callable[[Any], float],
    step: int,
    best: _Best | None,
    scores: list[tuple[int, float]],
) -> _Best:
    with torch.no_grad():
        score = float(validate(student))
    scores.append((step, score))
    if best is not None and score <= best.score:
        return best
    return _Best(step, score, [parameter.detach().clone() for parameter in learning])


def _restore(learning: Sequence[nn.Parameter], tensors: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, tensor in zip(learning, tensors, strict=True):
            parameter.copy_(tensor)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
