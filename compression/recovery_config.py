"""What a recovery is asked to do, and what it reports."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from compression.errors import ConfigError

RecoveryMethod = Literal["factors", "lora"]
"""`factors`: all of the factors learn. `lora`: adapters of a low rank on them learn, and are merged into them."""

LEARNING_RATES: dict[RecoveryMethod, tuple[float, ...]] = {
    "factors": (2e-5, 6e-5, 2e-4, 6e-4, 2e-3),
    "lora": (2e-4, 1e-3, 5e-3),
}
"""Rates worth trying, a method, rising. Which is best depends on how near its best the compressed model already is:
2e-3 on a small one, a fortieth of it or less on one of 3 M parameters (docs/compression.md)."""

LABEL_WEIGHTS = (0.0, 0.5)
"""Label weights worth trying. What users did next teaches a model of few users more than its teacher knows, and a well
trained one only what it has memorized."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a recovery steps.

    Attributes:
        learning_rate: at its highest.
        label_weight: share of the cross-entropy of the token that came next in the loss.
    """

    learning_rate: float
    label_weight: float


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe tried for a moment before the recovery.

    Attributes:
        recipe: that was tried.
        steps: it was given.
        surprise: of the held-out judge afterwards, lower is better.
    """

    recipe: Recipe
    steps: int
    surprise: float


class RecoveryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a recovery.

    Attributes:
        seconds: budget of wall time, validations included; None where `max_steps` bounds the run.
        max_steps: budget of steps, which makes the run repeatable bit for bit; None where `seconds` does.
        method: which parameters learn (`RecoveryMethod`).
        lora_rank: of the adapters of method `lora`.
        learning_rate: at its highest; None tries the method's (`LEARNING_RATES`).
        warmup: fraction of the budget over which the learning rate rises; a cosine takes it down after.
        weight_decay: of AdamW.
        label_weight: share of the cross-entropy of the token that came next; the rest is the divergence from the
            teacher. None tries `LABEL_WEIGHTS`.
        trials: fraction of the budget for trying what is None; where nothing judges the trials, or the budget is
            too small for them, the first of the rates and of the weights are taken.
        temperature: softens both distributions of the divergence.
        train_norms: let the norms learn too.
        bfloat16: compute matrix products in bfloat16; weights, sums and the loss stay as they are. For hardware that
            multiplies bfloat16 natively, and widths of 256 and more.
        accumulation: batches a step, a process.
        validations: how often the validation is asked during the run, beside once before it.
        seed: of the order of the batches and of the adapters' first values.

    Raises:
        ConfigError: there is no budget, or an option is out of range.
    """

    seconds: float | None = None
    max_steps: int | None = None
    method: RecoveryMethod = "factors"
    lora_rank: int = 16
    learning_rate: float | None = None
    warmup: float = 0.05
    weight_decay: float = 0.0
    label_weight: float | None = None
    trials: float = 0.25
    temperature: float = 1.0
    train_norms: bool = False
    bfloat16: bool = False
    accumulation: int = 1
    validations: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        _check_budget(self.seconds, self.max_steps)
        if self.method not in get_args(RecoveryMethod):
            raise ConfigError(f"the recovery's method is {self.method!r}; expected 'factors' or 'lora'")
        for name in ("lora_rank", "accumulation", "validations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        if not all(0 <= weight <= 1 for weight in self.label_weights):
            raise ConfigError(f"label_weight is {self.label_weight}; expected 0 to 1")
        if not 0 < self.trials < 1:
            raise ConfigError(f"trials is {self.trials}; expected a fraction of the budget, above 0 and below 1")
        if min(*self.learning_rates, self.temperature) <= 0 or not 0 <= self.warmup < 1:
            raise ConfigError(
                f"learning_rate {self.learning_rate}, temperature {self.temperature}, warmup {self.warmup}: "
                "expected the first two above 0 and warmup from 0 to below 1"
            )

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The learning rate at its highest, or those to choose from."""
        return LEARNING_RATES[self.method] if self.learning_rate is None else (self.learning_rate,)

    @property
    def label_weights(self) -> tuple[float, ...]:
        """The label weight, or those to choose from."""
        return LABEL_WEIGHTS if self.label_weight is None else (self.label_weight,)


class RecoveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did.

    Attributes:
        config: what was asked for.
        method: which parameters learned.
        recipe: how it stepped: as asked for, or the best of the trials.
        trials: what was tried before, in order; their steps and time are part of the budget, not of `steps`.
        trainable_parameters: how many learned.
        processes: that took part.
        steps: taken after the trials.
        tokens: seen by all processes, padding left out.
        seconds: wall time, trials and validations included.
        kl_first: mean KL divergence from the teacher over the first tenth of the steps, nats a token.
        kl_last: the same over the last tenth.
        validations: (step, mean score over users) in order; step 0 is the training-free model.
        best_step: the step whose factors were kept: the last that was not clearly worse.
    """

    config: RecoveryConfig
    method: RecoveryMethod
    recipe: Recipe
    trials: tuple[Trial, ...] = ()
    trainable_parameters: int
    processes: int
    steps: int
    tokens: int
    seconds: float
    kl_first: float
    kl_last: float
    validations: tuple[tuple[int, float], ...] = ()
    best_step: int = 0


def _check_budget(seconds: float | None, max_steps: int | None) -> None:
    if (seconds is None) == (max_steps is None):
        raise ConfigError("recovery needs one budget: give either seconds or max_steps")
    budget = seconds if max_steps is None else max_steps
    if budget is None or not budget > 0:
        raise ConfigError(f"the recovery's budget is {budget}; expected above 0. To skip recovery, leave it out.")
