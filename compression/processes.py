"""Several processes at one compression: each runs its share of the calibration batches, and the sums are added up.

    accelerate launch --num_processes 2 -m odllm compress …        (torchrun --nproc-per-node 2 -m … does as well)

Both programs tell their processes about each other in environment variables, which is all that is needed here; process
0 computes the factors, sends them to the others, and is the only one that writes. Without them nothing happens.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from compression.errors import CalibrationError
from odllm_artifact import OdllmError, write_folder

T = TypeVar("T")


@contextmanager
def joined_processes() -> Iterator[None]:
    """Meet the other processes if a launcher started any, and part from them in the end; else do nothing.

    Of an error in words that several of them meet, one process says it; the others end with the same exit code.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(local_device("auto"))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    except OdllmError as error:
        if not _is_first_to_say(str(error)):
            raise SystemExit(error.exit_code) from error
        raise
    finally:
        distributed.destroy_process_group()


def _is_first_to_say(words: str) -> bool:
    """Whether no other process has said the same; asked of the store where they met, which waits for nobody."""
    store = distributed.distributed_c10d._get_default_store()
    try:
        return store.add(f"said {hashlib.sha256(words.encode()).hexdigest()}", 1) == 1
    except RuntimeError:  # it went with the process that kept it: better said twice than not at all
        return True


@contextmanager
def write_folder_once(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Write a folder in the first process, as `write_folder`; the others get `path` itself, to leave alone.

    Raises:
        ArtifactError: as `write_folder`.
    """
    if not is_first_process():
        yield path
        return
    with write_folder(path, overwrite=overwrite) as folder:
        yield folder


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


def gather_from_processes(value: T) -> list[T]:
    """Return what every process gives, in the order of the processes, to all of them."""
    if process_count() == 1:
        return [value]
    values: list[T | None] = [None] * process_count()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def process_number() -> int:
    """Return which process this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0
