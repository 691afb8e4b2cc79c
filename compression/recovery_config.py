"""What a recovery is asked to do, and what it reports."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from compression.errors import ConfigError

RecoveryMethod = Literal["factors", "lora"]
"""`factors`: all of the factors learn. `lora`: adapters of a low rank on them learn, and are merged into them."""

LEARNING_RATES: dict[RecoveryMethod, float] = {"factors": 2e-3, "lora": 5e-3}
"""The best measured of each method (docs/compression.md)."""


class RecoveryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a recovery.

    Attributes:
        seconds: budget of wall time, validations included; None where `max_steps` bounds the run.
        max_steps: budget of steps, which makes the run repeatable bit for bit; None where `seconds` does.
        method: which parameters learn (`RecoveryMethod`).
        lora_rank: of the adapters of method `lora`.
        learning_rate: at its highest; None takes the method's (`LEARNING_RATES`) and records it here.
        warmup: fraction of the budget over which the learning rate rises; a cosine takes it down after.
        weight_decay: of AdamW.
        label_weight: share of the cross-entropy of the token that came next; the rest is the divergence from the
            teacher. Half and half recovered more NDCG than the divergence alone on three models (measured).
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
    label_weight: float = 0.5
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
        if self.learning_rate is None:
            msgspec.structs.force_setattr(self, "learning_rate", LEARNING_RATES[self.method])
        for name in ("lora_rank", "accumulation", "validations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        if not 0 <= self.label_weight <= 1:
            raise ConfigError(f"label_weight is {self.label_weight}; expected 0 to 1")
        if min(self.peak_learning_rate, self.temperature) <= 0 or not 0 <= self.warmup < 1:
            raise ConfigError(
                f"learning_rate {self.learning_rate}, temperature {self.temperature}, warmup {self.warmup}: "
                "expected the first two above 0 and warmup from 0 to below 1"
            )

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate at its highest."""
        return LEARNING_RATES[self.method] if self.learning_rate is None else self.learning_rate


class RecoveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did.

    Attributes:
        config: what was asked for.
        method: which parameters learned.
        trainable_parameters: how many learned.
        processes: that took part.
        steps: taken.
        tokens: seen by all processes, padding left out.
        seconds: wall time, validations included.
        kl_first: mean KL divergence from the teacher over the first tenth of the steps, nats a token.
        kl_last: the same over the last tenth.
        validations: (step, score) in order; step 0 is the training-free model.
        best_step: the step whose factors were kept; the last where nothing validates.
    """

    config: RecoveryConfig
    method: RecoveryMethod
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
