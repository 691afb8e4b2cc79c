"""The parts of a run put together: model, loss, optimizer, wrapped by Accelerate for the devices there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from lcrec.errors import FineTuningError
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.learning import Learner
from lcrec.finetune.response_loss import ResponseLoss
from lcrec.finetune.stepping import Stepper
from lcrec.train import has_bfloat16


@dataclass(frozen=True, eq=False)
class Parts:
    """What takes steps.

    Attributes:
        loss: `ResponseLoss`, wrapped for the devices.
        plain: the same without wrapping; its weights may be sharded.
        optimizer: torch's own.
        stepper: takes the steps.
        in_bfloat16: whether matrix products are computed in bfloat16.
    """

    loss: nn.Module
    plain: nn.Module
    optimizer: torch.optim.Optimizer
    stepper: Stepper
    in_bfloat16: bool


def assemble(learner: Learner, config: FineTuneConfig, accelerator: Accelerator) -> Parts:
    """Put what learns onto this process's device, or its share.

    Raises:
        FineTuningError: bfloat16 was asked for and the device has none.
    """
    in_bfloat16 = computes_in_bfloat16(config, accelerator.device)
    if config.gradient_checkpointing:
        _checkpoint_activations(learner.model)
    plain = ResponseLoss(learner.model, bfloat16=in_bfloat16, cache_casts=not config.gradient_checkpointing)
    loss, prepared = accelerator.prepare(plain, _optimizer(learner.parameters, config))
    plain = accelerator.unwrap_model(loss)
    learning = [weight for weight in plain.parameters() if weight.requires_grad]  # sharding replaces them
    stepper = Stepper(loss, prepared, learning, learner.new_rows(plain.model), config, accelerator)
    return Parts(loss, plain, prepared.optimizer, stepper, in_bfloat16)


def _checkpoint_activations(model: Any) -> None:
    # transformers has renamed it; 5.0 knows the older name only.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def computes_in_bfloat16(config: FineTuneConfig, device: torch.device) -> bool:
    """Tell whether products are computed in bfloat16 on a device.

    Raises:
        FineTuningError: it was asked for, and the device has no instructions for it; or weights that learn shall be
            bfloat16, and products are not.
    """
    on_gpu = device.type == "cuda"
    able = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else has_bfloat16()
    if config.precision == "bf16" and not able:
        raise FineTuningError(
            f"precision is bf16, and this {'GPU' if on_gpu else 'CPU'} does not multiply bfloat16"
            f"{'' if on_gpu else ' (torch sees no CUDA device here)'}. Say --precision fp32, or auto."
        )
    in_bfloat16 = able and config.precision != "fp32"
    if config.weights == "bfloat16" and not in_bfloat16:
        why = "precision is fp32" if able else "this device has no instructions for it"
        raise FineTuningError(f"weights is bfloat16, and products are in float32: {why}. Take weights: float32.")
    return in_bfloat16


def _optimizer(learning: list[nn.Parameter], config: FineTuneConfig) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in learning if weight.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [weight for weight in learning if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adafactor":
        return torch.optim.Adafactor(groups, lr=config.learning_rate)
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
