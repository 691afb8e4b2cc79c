"""Several processes at one compression: each runs its share of the calibration batches, and the sums are added up.

    accelerate launch --num_processes 2 -m odllm compress …        (torchrun --nproc-per-node 2 -m … does as well)

Both programs tell their processes about each other in environment variables, which is all that is needed here; process
0 computes the factors, sends them to the others, and is the only one that writes. Without them nothing happens.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import distributed

from compression.errors import CalibrationError

T = TypeVar("T")


def join_processes() -> None:
    """Meet the other processes, if a launcher started any and nobody has met them yet."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def process_count() -> int:
    """Return how many processes work together; 1 without a launcher."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first_process() -> bool:
    """Whether this is the process that computes and writes; the only one without a launcher."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def local_device(device: str) -> torch.device:
    """Return the device of that name; `auto` is this process's CUDA device if there is one, else the CPU."""
    if device != "auto":
        return torch.device(device)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def share_of(batches: Sequence[T]) -> list[T]:
    """Return this process's share of the calibration batches.

    Raises:
        CalibrationError: there are fewer batches than processes.
    """
    count = process_count()
    if len(batches) < count:
        raise CalibrationError(
            f"{len(batches)} calibration batches for {count} processes. Give more sequences, or start fewer processes."
        )
    return list(batches[distributed.get_rank() :: count]) if count > 1 else list(batches)


def sum_over_processes(tensor: torch.Tensor) -> None:
    """Replace a tensor by its sum over all processes, in place."""
    if process_count() > 1:
        distributed.all_reduce(tensor)


def from_first_process(value: T) -> T:
    """Return the value that the first process has; the others' is ignored."""
    if process_count() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]
