"""The devices of a run, as `accelerate launch` gave them to its processes."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import nn
from torch.distributed.fsdp import FSDPModule


def join_devices() -> Accelerator:
    """Return this process's place among all; without a launcher the only one.

    Precision is left to the recipe. Where the launcher asks for shards, processes without a GPU share them too, which
    Accelerate alone would not do: that is how sharding is tested without GPUs.
    """
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=not torch.accelerator.is_available(),
        # Gradients live in the buckets that are sent, instead of beside them.
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    wanted = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if wanted and accelerator.distributed_type == DistributedType.MULTI_CPU:
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
        for state in (accelerator.state, PartialState()):
            state.distributed_type = DistributedType.FSDP
    return accelerator


def put_shards_back(module: nn.Module) -> None:
    """Have every process hold its part of the weights only, after a forward pass that no backward pass followed."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def is_sharded(accelerator: Accelerator) -> bool:
    """Tell whether every process holds a part of the weights only."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)
