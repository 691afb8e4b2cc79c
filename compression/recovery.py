"""Recovery: a short distillation of the factors from the dense model, apart from the training-free result.

Only the low-rank factors learn, or adapters on them (and the norms, if asked); everything else is as the compression
left it. The student is pulled to the teacher's distribution over the next token, at every position that is not
padding, and to the token that really came next. How fast and how much to which of the two is tried out for a moment
before, if it is not given.

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
from compression.distiller import Distiller
from compression.importance import Allowed
from compression.processes import from_first_process
from compression.recovery_config import Recipe, RecoveryConfig, RecoveryReport, Trial
from compression.trainable import put_back, trainable, values_of
from odllm_artifact import Progress, silent

LEAST_STEPS = 5
"""Fewer steps a trial tell nothing: then the recovery is careful, without trials."""

Judge = Callable[[Any], Sequence[float]]
"""What every held-out user says of a student, always the same users in the same order."""


def recover(
    student: Any,
    teacher: Any,
    batches: Sequence[CalibrationBatch],
    config: RecoveryConfig,
    *,
    code_token_ids: Sequence[int] | None = None,
    allowed: Allowed | None = None,
    validate: Judge | None = None,
    surprise: Judge | None = None,
    progress: Progress = silent,
) -> RecoveryReport:
    """Distil the factors of `student` from `teacher`, in place, within a budget.

    Called by every process of an `accelerate launch`, each takes its share of the batches and all end with the same
    factors; the first process keeps the clock and judges.

    Args:
        student: a low-rank causal language model.
        teacher: the dense model it came from.
        batches: training sequences; drawn in random order, again and again.
        config: budget and schedule.
        code_token_ids: compare the distributions over these tokens only; None compares the whole vocabulary.
        allowed: which of `code_token_ids` may follow each position: the distributions are compared among those, where
            there are any. A model compressed by the importance of its choices has forgotten the rest, and should not
            spend its ranks on learning it again.
        validate: scores of the student, higher is better: the last factors are kept that are not clearly worse
            than those kept before, by more than a standard error over users; those before the first step count too.
        surprise: of the student, lower is better, which judges the trials of what `config` leaves open: it tells
            recipes apart after few steps, as a score does not.
        progress: told after every step.

    Raises:
        ConfigError: the student has no low-rank projection, or the method needs a library that is not installed.
        CalibrationError: no or bad sequences, or the divergence is not finite.
    """
    clock = _Clock(config)
    check_batches(batches, student.config.vocab_size)
    accelerator = Accelerator(gradient_accumulation_steps=config.accumulation)
    shuffled = islice(_shuffled(batches, config.seed), accelerator.process_index, None, accelerator.num_processes)
    drawn = _in_groups(shuffled, config.accumulation)
    bar = progress if accelerator.is_main_process else silent
    with _placed(accelerator.device, student, teacher), trainable(student, config) as learning:
        distiller = Distiller(student, teacher, learning, code_token_ids, allowed, config, accelerator)
        recipe, trials = _choose(distiller, student, drawn, clock, _first_judges(surprise, accelerator), bar)
        best = _Best(student, learning, _first_judges(validate, accelerator), config.validations)
        divergences, tokens = _run(distiller, drawn, clock, recipe, best, bar)
    tenth = max(len(divergences) // 10, 1)
    shares = gather_object([(_mean(divergences[:tenth]), _mean(divergences[-tenth:]), tokens)])
    return RecoveryReport(
        config=config,
        method=config.method,
        recipe=recipe,
        trials=tuple(trials),
        trainable_parameters=sum(parameter.numel() for parameter in learning),
        processes=accelerator.num_processes,
        steps=len(divergences),
        tokens=sum(share[2] for share in shares),
        seconds=clock.seconds,
        kl_first=_mean([share[0] for share in shares]),
        kl_last=_mean([share[1] for share in shares]),
        validations=tuple(best.means),
        best_step=len(divergences) if best.step is None else best.step,
    )


class _Clock:
    """What is used up of the budget: of the time, or of the steps."""

    def __init__(self, config: RecoveryConfig) -> None:
        self.config, self.started, self.steps = config, time.monotonic(), 0
        self.reserved = 0.0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.started

    @property
    def spent(self) -> float:
        """Fraction of the budget used up, as this process sees it, but for what is reserved."""
        if self.config.max_steps is not None:
            return self.steps / self.config.max_steps
        assert self.config.seconds is not None
        return self.seconds / max(self.config.seconds - self.reserved, 1e-9)

    def validate(self, best: _Best, step: int) -> None:
        """Have a validation done, and reserve the time of another: the last one comes when all else is used up."""
        before = self.seconds
        best.ask(step)
        self.reserved = self.seconds - before

    def step(self, distiller: Distiller, batches: list[CalibrationBatch], recipe: Recipe, done: float) -> float:
        """Have a step taken and count it; return the divergence before it."""
        self.steps += 1
        return distiller.step(batches, recipe, done)

    def agreed(self) -> float:
        """Return `spent` as the first process sees it: all must stop at the same step."""
        return from_first_process(self.spent)


def _choose(
    distiller: Distiller,
    student: Any,
    drawn: Iterator[list[CalibrationBatch]],
    clock: _Clock,
    surprise: Judge | None,
    progress: Progress,
) -> tuple[Recipe, list[Trial]]:
    """Try what is open of the recipe, every time from the same factors; return the best recipe and all trials.

    For every label weight the learning rates rise as long as that helps. What is faster, and labels, have to be better
    by more than their standard error over users: what looks equal after a few steps is not after many.
    """
    rates, weights = distiller.config.learning_rates, distiller.config.label_weights
    best, number = Recipe(learning_rate=rates[0], label_weight=weights[0]), len(rates) * len(weights)
    if surprise is None or number == 1:
        return best, []
    start = values_of(distiller.learning)
    progress(0.0, 1.0, "measuring what a step takes")
    steps = _steps_a_trial(distiller, student, drawn, clock, surprise, number)
    put_back(distiller.learning, start)
    if steps < LEAST_STEPS:
        return best, []
    trials: list[Trial] = []

    def attempt(recipe: Recipe) -> torch.Tensor:
        put_back(distiller.learning, start)
        distiller.begin()
        for step in range(steps):
            clock.step(distiller, next(drawn), recipe, step / steps)
            progress(
                min(clock.spent, 1.0),
                1.0,
                f"trying learning rate {recipe.learning_rate:g}, label weight {recipe.label_weight:g}",
            )
        found = torch.as_tensor(surprise(student), dtype=torch.float64)
        trials.append(Trial(recipe=recipe, steps=steps, surprise=float(found.mean())))
        return found

    least: torch.Tensor | None = None
    for weight in weights:
        recipe = Recipe(learning_rate=rates[0], label_weight=weight)
        surprises = attempt(recipe)
        for rate in rates[1:]:
            faster = Recipe(learning_rate=rate, label_weight=weight)
            if not _clearly_less(found := attempt(faster), surprises):
                break
            recipe, surprises = faster, found
        if least is None or _clearly_less(surprises, least):
            best, least = recipe, surprises
    put_back(distiller.learning, start)
    return best, trials


def _clearly_less(found: torch.Tensor, least: torch.Tensor) -> bool:
    """Whether `found` is below `least`, `[users]` both, by more than the standard error of the mean difference."""
    gain = least - found
    return bool(gain.mean() > gain.std(correction=0) / math.sqrt(len(gain)))


def _steps_a_trial(
    distiller: Distiller,
    student: Any,
    drawn: Iterator[list[CalibrationBatch]],
    clock: _Clock,
    surprise: Judge,
    number: int,
) -> int:
    """Return how many steps each of `number` trials may take; the clock's are measured, which moves the factors."""
    config = distiller.config
    if config.max_steps is not None:
        return int(config.trials * config.max_steps / number)
    assert config.seconds is not None
    times = [clock.seconds]
    recipe = Recipe(learning_rate=config.learning_rates[0], label_weight=config.label_weights[0])
    for act in (
        lambda: clock.step(distiller, next(drawn), recipe, 0.0),  # the first of all is slower
        lambda: clock.step(distiller, next(drawn), recipe, 0.0),
        lambda: surprise(student),
    ):
        act()
        times.append(clock.seconds)
    a_step, a_judgement = times[2] - times[1], times[3] - times[2]
    left = config.trials * config.seconds - times[-1]
    return from_first_process(max(int((left / number - a_judgement) / a_step), 0))


def _run(
    distiller: Distiller,
    drawn: Iterator[list[CalibrationBatch]],
    clock: _Clock,
    recipe: Recipe,
    best: _Best,
    progress: Progress,
) -> tuple[list[float], int]:
    """Step until the budget is used up and have the best factors; return the divergences, and the tokens seen."""
    divergences: list[float] = []
    tokens = 0
    distiller.begin()
    before = min(clock.agreed(), 1.0)
    while True:
        done = 1.0 if before == 1 else (clock.agreed() - before) / (1 - before)
        if best.due(done):
            progress(before + done * (1 - before), 1.0, "validating")
            clock.validate(best, len(divergences))
        if done >= 1:
            best.put_back()
            return divergences, tokens
        batches = next(drawn)
        divergences.append(clock.step(distiller, batches, recipe, done))
        tokens += sum(batch.tokens for batch in batches)
        progress(min(clock.spent, 1.0), 1.0, f"KL {divergences[-1]:.4f}")


class _Best:
    """The last values of what learns that the validation has nothing against; without one, the last."""

    def __init__(
        self, student: Any, learning: Sequence[nn.Parameter], validate: Judge | None, validations: int
    ) -> None:
        self.student, self.learning, self.validate, self.validations = student, learning, validate, validations
        self.means: list[tuple[int, float]] = []
        self.step: int | None = None
        self.scores, self.values = torch.empty(0), list[torch.Tensor]()

    def due(self, spent: float) -> bool:
        """Whether the next validation's turn has come: evenly over the run, at its start and at its end."""
        done = len(self.means)
        return self.validate is not None and done <= self.validations and spent >= min(done / self.validations, 1.0)

    def ask(self, step: int) -> None:
        """Validate, and keep the values unless they are clearly worse than those kept before."""
        assert self.validate is not None
        scores = torch.as_tensor(self.validate(self.student), dtype=torch.float64)
        if self.step is None or not _clearly_less(scores, self.scores):
            self.step, self.scores, self.values = step, scores, values_of(self.learning)
        self.means.append((step, float(scores.mean())))

    def put_back(self) -> None:
        """Set what learns to the values that were kept."""
        if self.step is not None:
            put_back(self.learning, self.values)


def _first_judges(judge: Judge | None, accelerator: Accelerator) -> Judge | None:
    """Return the judge that only the first process asks, for all of them."""
    if judge is None:
        return None

    def ask(student: Any) -> Sequence[float]:
        with torch.no_grad():
            found: Any = judge(student) if accelerator.is_main_process else None
            return from_first_process(found)

    return ask


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


def _shuffled(batches: Sequence[CalibrationBatch], seed: int) -> Iterator[CalibrationBatch]:
    """Yield the batches that hold tokens for ever, each round in another order."""
    generator = torch.Generator().manual_seed(seed)
    filled = [batch for batch in batches if batch.tokens]
    while True:
        for i in torch.randperm(len(filled), generator=generator).tolist():
            yield filled[i]


def _in_groups(batches: Iterator[CalibrationBatch], size: int) -> Iterator[list[CalibrationBatch]]:
    while group := list(islice(batches, size)):
        yield group


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
