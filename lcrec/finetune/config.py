"""What a fine-tuning is asked to do: a YAML file, options over it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from lcrec.errors import FineTuningError
from lcrec.prompt import PromptText

Learning = Literal["full", "lora", "new-rows"]
"""`full`: every weight learns. `lora`: adapters on the seven linears, merged at the end. `new-rows`: only the rows of
the code tokens."""

Embeddings = Literal["all", "new-rows"]
"""What of embedding and head learns beside adapters: both in full, as LC-Rec does, or the code tokens' rows."""


class FineTuneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Recipe of a fine-tuning; the defaults are LC-Rec's where it has the like.

    Attributes:
        learning: which weights learn (`Learning`).
        lora_rank: of the adapters.
        lora_alpha: their scale, times the rank.
        lora_dropout: of what adapters read.
        embeddings: what of embedding and head learns beside adapters (`Embeddings`).
        tasks: what is learned, by name (docs/tasks.md).
        task_weights: how much of a task an epoch has, relative to its samples; 1 where not given.
        every_target: have every item of a history's window after the first be a response.
        templates: TOML file of prompts of one's own (docs/tasks.md).
        vary: train seqrec with a family of prompts; without, with the deployed one alone.
        max_items: history items that the prompt holds.
        prompt_text: words around the items, begin-of-sequence token or not; None takes words with the history last.
        users: learn from so many users only, drawn at random by `seed`; None from all.
        epochs: passes over the data.
        max_steps: stop the schedule after so many steps; None after `epochs`.
        learning_rate: at its peak.
        new_rows_rate: learning rate of new code tokens' rows, in multiples of `learning_rate`.
        warmup: share of the steps over which the learning rate rises; a cosine takes it down to nothing after.
        weight_decay: of the matrices.
        max_grad_norm: gradients are clipped to this norm.
        optimizer: `adamw`, or `adafactor`, whose state is a row and a column a matrix.
        batch_samples: samples a step, over all devices, on average.
        batch_tokens: tokens a step instead of `batch_samples`; None takes those.
        device_tokens: tokens of one forward on one device, padding included: what memory must hold.
        precision: `bf16` computes matrix products in bfloat16, `fp32` does not; `auto` does where the device has
            instructions for it. Sums and the loss are float32.
        weights: type of the weights that learn; `float32` keeps small updates. `bfloat16` goes with products in it.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping them.
        validations: how often an epoch the model is validated.
        validation_users: how many users validate.
        metric: what stops early: `loss` on the validation items, or `ndcg`, by constrained search.
        patience: validations without gain before training stops.
        checkpoint_minutes: time between two checkpoints.
        keep_adapter: also write LoRA's adapter.
        seed: of new rows, samples, order and dropout.

    Raises:
        FineTuningError: a value is out of range.
    """

    learning: Learning = "full"
    lora_rank: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    embeddings: Embeddings = "all"
    tasks: tuple[str, ...] = ("seqrec",)
    task_weights: dict[str, float] = {}
    every_target: bool = True
    templates: str | None = None
    vary: bool = True
    max_items: int = 20
    prompt_text: PromptText | None = None
    users: int | None = None
    epochs: int = 4
    max_steps: int | None = None
    learning_rate: float = 5e-5
    new_rows_rate: float = 10.0
    warmup: float = 0.01
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    batch_samples: int = 128
    batch_tokens: int | None = None
    device_tokens: int = 1024
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    weights: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    validations: int = 1
    validation_users: int = 1000
    metric: Literal["loss", "ndcg"] = "loss"
    patience: int = 3
    checkpoint_minutes: float = 15.0
    keep_adapter: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FineTuningError(f"{name} is {value}; expected at least 1")
        for name in ("learning_rate", "new_rows_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise FineTuningError(f"{name} is {getattr(self, name)}; expected above 0")
        for name in ("warmup", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise FineTuningError(f"{name} is {getattr(self, name)}; expected 0 to below 1")
        for name in ("weight_decay", "checkpoint_minutes", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise FineTuningError(f"{name} is {getattr(self, name)}; expected 0 or more")


_AT_LEAST_ONE = (
    "lora_rank",
    "lora_alpha",
    "max_items",
    "users",
    "epochs",
    "max_steps",
    "batch_samples",
    "batch_tokens",
    "device_tokens",
    "validations",
    "validation_users",
    "patience",
)


def read_config(path: Path | None, overrides: Mapping[str, Any]) -> FineTuneConfig:
    """Read a recipe from a YAML file, with `overrides` over it.

    Args:
        path: the file; None takes the defaults.
        overrides: values by field name; None leaves the file's.

    Raises:
        FineTuningError: the file is missing or no YAML, a key is unknown, or a value is of another kind or out of
            range.
    """
    values: Any = {} if path is None else _read_yaml(path)
    where = "the options" if path is None else str(path)
    if not isinstance(values, dict):
        raise FineTuningError(f"{path} holds {type(values).__name__}; expected names and values")
    known = FineTuneConfig.__struct_fields__
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f". Known: {', '.join(known)}"
            raise FineTuningError(f"{where} has the unknown key {key!r}{hint}")
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        # Not strict: YAML 1.1 reads 5e-5 as text.
        return msgspec.convert(values, FineTuneConfig, strict=False)
    except msgspec.ValidationError as error:
        raise FineTuningError(f"{where}: {error}") from error


def _read_yaml(path: Path) -> Any:
    try:
        return msgspec.yaml.decode(path.read_bytes()) or {}
    except OSError as error:
        raise FineTuningError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise FineTuningError(f"{path} is no YAML: {error}") from error
