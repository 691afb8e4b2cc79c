"""Checkpoints of a fine-tuning: each appears whole or not at all, and names the run that it belongs to.

    step-00000120/   what learns, the optimizer's state, and `state.json`: where the run stood
    best-00000120/   what learned, at the best validation

torch's distributed checkpoints hold them: every process writes its part, and another number of them can read it. Only
what learns is in them.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.distributed import checkpoint as distributed_checkpoint
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from lcrec.errors import FineTuningError
from lcrec.finetune.devices import put_shards_back
from odllm_artifact import read_json, write_json

STATE_FILE = "state.json"


class Checkpoints:
    """The checkpoints of one run in a folder.

    Args:
        folder: where; shared by all processes.
        origin: hashes of what decides the run, by what they are of.
        module: what learns, unwrapped or sharded.
        optimizer: torch's own.
        accelerator: tells the processes apart.
    """

    def __init__(
        self,
        folder: Path,
        origin: Mapping[str, str],
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        accelerator: Accelerator,
    ) -> None:
        self.folder, self.origin = folder, dict(origin)
        self.module, self.optimizer, self.accelerator = module, optimizer, accelerator
        self.alone = accelerator.num_processes == 1

    def save(self, steps: int, state: dict[str, Any]) -> None:
        """Write where the run stands, then remove what nobody needs any more.

        Raises:
            FineTuningError: it cannot be written; the checkpoint before it stays.
        """
        with self._written(f"step-{steps:08}") as folder:
            self._save({"learned": self._learned(), "optimizer": self._optimizer_state()}, folder)
            if self.accelerator.is_main_process:
                write_json(folder / STATE_FILE, {"origin": self.origin, "state": state})
        if self.accelerator.is_main_process:
            self._tidy(f"step-{steps:08}", f"best-{state['best_step']:08}")
        self.accelerator.wait_for_everyone()

    def save_best(self, steps: int) -> None:
        """Write what learns, as the best so far.

        Raises:
            FineTuningError: it cannot be written; the checkpoint before it stays.
        """
        with self._written(f"best-{steps:08}") as folder:
            self._save({"learned": self._learned()}, folder)

    def resume(self) -> dict[str, Any] | None:
        """Take up the last whole checkpoint; return where it stood, or None if there is none.

        Raises:
            FineTuningError: another run wrote it, or it is damaged.
        """
        folder = last_checkpoint(self.folder)
        if folder is None:
            return None
        content = read_json(folder / STATE_FILE)
        require_origin(folder, content["origin"], self.origin)
        saved = {"learned": self._learned(), "optimizer": self._optimizer_state()}
        self._load(saved, folder)
        set_optimizer_state_dict(self.module, self.optimizer, saved["optimizer"])
        return dict(content["state"])

    def load_best(self, steps: int) -> None:
        """Set what learns to what was best.

        Raises:
            FineTuningError: its files are damaged.
        """
        self._load({"learned": self._learned()}, self.folder / f"best-{steps:08}")

    def _learned(self) -> dict[str, Any]:
        put_shards_back(self.module)
        return {name: weight.detach() for name, weight in self.module.named_parameters() if weight.requires_grad}

    def _optimizer_state(self) -> dict[str, Any]:
        return get_optimizer_state_dict(self.module, self.optimizer)

    def _save(self, content: dict[str, Any], folder: Path) -> None:
        writer = distributed_checkpoint.FileSystemWriter(folder)
        with _no_word_on_processes():
            distributed_checkpoint.save(content, storage_writer=writer, no_dist=self.alone)

    def _load(self, content: dict[str, Any], folder: Path) -> None:
        reader = distributed_checkpoint.FileSystemReader(folder)
        try:
            with _no_word_on_processes():
                distributed_checkpoint.load(content, storage_reader=reader, no_dist=self.alone)
        except CheckpointException as error:
            raise FineTuningError(
                f"cannot read the checkpoint {folder}: {_reason(error)}. Its files are damaged; --restart begins anew."
            ) from error

    @contextmanager
    def _written(self, name: str) -> Iterator[Path]:
        """Yield a folder that gets its name when the block ends well, in all processes."""
        staging, main = self.folder / f".{name}.writing", self.accelerator.is_main_process
        try:
            if main:
                shutil.rmtree(staging, ignore_errors=True)
                staging.mkdir(parents=True)
            self.accelerator.wait_for_everyone()
            yield staging
            self.accelerator.wait_for_everyone()
            if main:
                shutil.rmtree(self.folder / name, ignore_errors=True)
                staging.rename(self.folder / name)
        except (CheckpointException, OSError, RuntimeError) as error:
            raise FineTuningError(self._not_written(error)) from error
        finally:
            if main:
                shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def kept(self) -> str:
        """Return a sentence on the last whole checkpoint."""
        last = last_checkpoint(self.folder)
        return "No checkpoint was written yet." if last is None else f"The last checkpoint, {last}, is kept."

    def _not_written(self, error: BaseException) -> str:
        free = shutil.disk_usage(self.folder).free
        return (
            f"cannot write a checkpoint into {self.folder}, where {free / 1e9:.1f} GB are free: {_reason(error)}. "
            f"{self.kept()} "
            "Make room; the same command goes on from there."
        )

    def _tidy(self, *kept: str) -> None:
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint in a folder; one that a kill cut short has no `state.json` or another name."""
    whole = [path.parent for path in folder.glob(f"step-*/{STATE_FILE}")]
    return max(whole, default=None, key=lambda path: path.name)


def require_origin(folder: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Check that a checkpoint is of the run that wants it.

    Raises:
        FineTuningError: it is of another; the message says in what they differ.
    """
    other = [name for name in expected if found.get(name) != expected[name]]
    if other:
        raise FineTuningError(
            f"{folder} is the checkpoint of another run: its {', '.join(other)} differ. Give the options it was made "
            "with to go on, choose another --out, or say --restart to throw it away."
        )


@contextmanager
def _no_word_on_processes() -> Iterator[None]:
    """Leave out torch's remark that there is one process, which is made even where that is what was asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
        yield


def _reason(error: BaseException) -> str:
    if isinstance(error, CheckpointException):
        return "; ".join(dict.fromkeys(str(failure[0]) for failure in error.failures.values()))
    return str(error)
