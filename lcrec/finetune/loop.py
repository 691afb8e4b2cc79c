"""A run of a fine-tuning: epochs of steps, validations, checkpoints, an early stop.

What is computed together comes from `plan_epoch`, which knows nothing of devices; a run that goes on from a checkpoint
takes the very steps that it would have taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import msgspec
import torch
from accelerate import Accelerator

from lcrec.errors import FineTuningError
from lcrec.finetune.batches import EpochPlan, plan_epoch
from lcrec.finetune.checkpoints import Checkpoints
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.interrupts import stop_requests
from lcrec.finetune.stepping import Stepper
from lcrec.finetune.validation import Judge
from lcrec.tasks.encoding import EncodedSample
from lcrec.tasks.mixture import TaskMixture
from odllm_artifact import Progress


class RunState(msgspec.Struct, kw_only=True):
    """Where a run stands: all of it that is neither weights nor optimizer.

    Attributes:
        epoch: that is being learned.
        step: of this epoch, the next to be taken.
        steps: taken.
        tokens: seen, padding left out.
        seconds: spent, validations included.
        loss_sum: of the responses' tokens since the last validation, nats.
        loss_tokens: how many those were.
        history: a row a validation.
        best: the best validation's score.
        best_step: the step that it followed; 0 before the first.
        since_best: validations since.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_tokens: int = 0
    history: list[dict[str, float]] = msgspec.field(default_factory=list)
    best: float | None = None
    best_step: int = 0
    since_best: int = 0


class Loop:
    """A run.

    Args:
        stepper: takes the steps.
        mixture: draws an epoch's samples.
        config: the recipe.
        accelerator: joins the processes.
        checkpoints: keep what was reached.
        judge: validates.
        progress: told after every step.
    """

    def __init__(
        self,
        stepper: Stepper,
        mixture: TaskMixture,
        config: FineTuneConfig,
        accelerator: Accelerator,
        checkpoints: Checkpoints,
        judge: Judge,
        progress: Progress,
    ) -> None:
        self.stepper, self.mixture, self.config, self.accelerator = stepper, mixture, config, accelerator
        self.checkpoints, self.judge, self.progress = checkpoints, judge, progress
        self.state = RunState()
        self._saved_at = self._counted_at = time.monotonic()

    def run(self) -> RunState:
        """Take all steps that are left, from the last checkpoint if there is one; the best weights are set in the end.

        Raises:
            FineTuningError: a loss is not finite, a checkpoint is of another run or cannot be written.
            KeyboardInterrupt: the run was asked to stop; a checkpoint holds where.
        """
        if (found := self.checkpoints.resume()) is not None:
            self.state = msgspec.convert(found, RunState)
        self._saved_at = self._counted_at = time.monotonic()
        with stop_requests() as asked_to_stop:
            while not self._finished():
                samples = self.mixture.epoch(self.config.seed * 1000 + self.state.epoch)
                plan = plan_epoch(samples.lengths(), self.config, self.state.epoch)
                self._epoch(plan, samples, asked_to_stop)
        self.progress(1.0, 1.0, f"best after step {self.state.best_step} of {self.state.steps}")
        self.checkpoints.load_best(self.state.best_step)
        return self.state

    def _finished(self) -> bool:
        state, config = self.state, self.config
        return state.epoch >= config.epochs or state.since_best >= config.patience or self._out_of_steps()

    def _out_of_steps(self) -> bool:
        return self.config.max_steps is not None and self.state.steps >= self.config.max_steps

    def _epoch(self, plan: EpochPlan, samples: Sequence[EncodedSample], asked_to_stop: Callable[[], bool]) -> None:
        state, epoch, steps = self.state, self.state.epoch, len(plan.steps)
        while state.epoch == epoch and not self._finished():
            self._step([[samples[i] for i in batch] for batch in plan.steps[state.step]], steps)
            turn = self.config.validations * (state.step + 1) // steps > self.config.validations * state.step // steps
            state.epoch, state.step = divmod(epoch * steps + state.step + 1, steps)
            if validate := turn or self._out_of_steps():
                self._validate()
            self._keep(validate, asked_to_stop())

    def _step(self, batches: Sequence[Sequence[EncodedSample]], steps: int) -> None:
        state, config = self.state, self.config
        done = (state.epoch + (state.step + 0.5) / steps) / config.epochs  # at the middle of the step
        if config.max_steps is not None:
            done = max(done, (state.steps + 0.5) / config.max_steps)
        try:
            loss, learned = self.stepper.step(batches, state.steps, done)
        except FineTuningError as error:
            raise self._not_finite(str(error)) from error
        state.steps += 1
        state.loss_sum, state.loss_tokens = state.loss_sum + loss, state.loss_tokens + learned
        state.tokens += sum(len(sample.ids) for batch in batches for sample in batch)
        self._count_time()
        rate = state.tokens / max(state.seconds, 1e-9)
        self.progress(done, 1.0, f"step {state.steps}, loss {loss / max(learned, 1):.3f}, {rate:.0f} tokens/s")

    def _validate(self) -> None:
        state = self.state
        found = self.judge()
        if not all(map(math.isfinite, found.values())):  # the update after the last finite step: nothing to keep
            raise self._not_finite(f"the validation after step {state.steps} gives {found}")
        score = found["ndcg@10"] if self.config.metric == "ndcg" else -found["loss"]
        state.history.append(
            {"step": state.steps, "training_loss": state.loss_sum / max(state.loss_tokens, 1), **found}
        )
        state.loss_sum, state.loss_tokens = 0.0, 0
        state.since_best += 1
        if state.best is None or score > state.best:
            state.best, state.best_step, state.since_best = score, state.steps, 0
            self.checkpoints.save_best(state.steps)

    def _not_finite(self, what: str) -> FineTuningError:
        advice = "Lower the learning rate." if self.state.steps else "Look into the base: are its weights finite?"
        return FineTuningError(f"{what}. {self.checkpoints.kept()} {advice}")

    def _keep(self, validated: bool, asked_to_stop: bool) -> None:
        """Write a checkpoint where it is time: one process's clock and signals are everyone's."""
        late = time.monotonic() - self._saved_at >= 60 * self.config.checkpoint_minutes
        flags = torch.tensor([float(late), float(asked_to_stop)], device=self.accelerator.device)
        late, stop = (bool(flag) for flag in self.accelerator.reduce(flags, "sum"))
        self._count_time()
        if validated or late or stop:
            self.checkpoints.save(self.state.steps, msgspec.to_builtins(self.state))
            self._saved_at = time.monotonic()
        if stop:
            raise KeyboardInterrupt

    def _count_time(self) -> None:
        now = time.monotonic()
        self.state.seconds, self._counted_at = self.state.seconds + now - self._counted_at, now
