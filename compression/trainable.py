"""What of a low-rank model learns in a recovery: its factors, or LoRA adapters on them that are merged afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from compression.errors import ConfigError
from compression.lowrank import factored_linears, shared_inputs
from compression.recovery_config import RecoveryConfig

FACTORS = ("input_factor", "output_factor")
"""The linear layers inside a `LowRankLinear`, by name."""


def require_installed(config: RecoveryConfig) -> None:
    """Refuse a method whose library is missing: worth asking before a long compression.

    Raises:
        ConfigError: the method is `lora` and PEFT is not installed.
    """
    if config.method == "lora" and find_spec("peft") is None:
        raise ConfigError(
            "recovery by LoRA needs PEFT, which is not installed. Install it with: pip install 'odllm[recovery]', "
            "or choose the method 'factors'."
        )


@contextmanager
def trainable(student: nn.Module, config: RecoveryConfig) -> Iterator[list[nn.Parameter]]:
    """Let only what a recovery's method trains receive gradients, without dropout; yield those parameters.

    At the end everything is as before but the factors' values: adapters are merged into them, so that ranks, names
    and file format stay.

    Raises:
        ConfigError: the model has no low-rank projection, or the method needs a library that is not installed.
    """
    if not factored_linears(student):
        raise ConfigError("the student has no low-rank projection to train. Compress it below keep_ratio 1 first.")
    wanted = {parameter: parameter.requires_grad for parameter in student.parameters()}
    training = student.training
    student.eval()
    student.requires_grad_(False)
    try:
        with _factors(student) if config.method == "factors" else _adapters(student, config) as learning:
            if config.train_norms:
                learning += [parameter for name, parameter in student.named_parameters() if "norm" in name]
            for parameter in learning:
                parameter.requires_grad_(True)
            yield learning
    finally:
        for parameter, before in wanted.items():
            parameter.requires_grad_(before)
            parameter.grad = None
        student.train(training)


def values_of(parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
    """Return copies of the parameters' values."""
    return [parameter.detach().clone() for parameter in parameters]


def put_back(parameters: Sequence[nn.Parameter], values: Sequence[torch.Tensor]) -> None:
    """Set parameters to earlier `values_of` them."""
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


@contextmanager
def _factors(student: nn.Module) -> Iterator[list[nn.Parameter]]:
    layers = factored_linears(student).values()
    yield list(dict.fromkeys(parameter for layer in layers for parameter in layer.parameters()))  # shared ones once


@contextmanager
def _adapters(student: nn.Module, config: RecoveryConfig) -> Iterator[list[nn.Parameter]]:
    """Put LoRA adapters on the factors; merge them into the factors at the end."""
    shared = shared_inputs(student)
    tuner = _lora_model(student, config)
    _share(student, shared)
    try:
        yield [parameter for name, parameter in student.named_parameters() if "lora_" in name]
        tuner.merge_and_unload()
    except BaseException:
        tuner.unload()
        raise
    finally:
        _share(student, shared)


def _share(student: nn.Module, shared: dict[str, str]) -> None:
    """Have projections read through one input factor again: PEFT replaces it in the first of them only."""
    layers = factored_linears(student)
    for name, owner in shared.items():
        layers[name].share_input(layers[owner])


def _lora_model(student: nn.Module, config: RecoveryConfig) -> Any:
    require_installed(config)
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    lora = LoraConfig(r=config.lora_rank, lora_alpha=config.lora_rank, lora_dropout=0.0, target_modules=list(FACTORS))
    with torch.random.fork_rng(devices=()):  # the adapters' first values; the caller's random numbers stay as they are
        torch.manual_seed(config.seed)
        return LoraModel(student, lora, "recovery")
