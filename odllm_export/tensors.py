"""The tensors of a model folder, by name, read one at a time, with an account of what was used.

An exporter that overlooks a tensor writes a graph that computes something else, and nobody notices: elsewhere
factored checkpoints have been exported with randomly initialised projections and exit code 0. Here a missing or
left-over tensor stops the export, and so does one that is not finite.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from odllm_artifact import read_json, sha256_file
from odllm_export.errors import TensorError


class ModelTensors:
    """Float32 views of a checkpoint's tensors; a context manager, because the files are mapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._file_of: dict[str, Any] = {}
        self._taken: set[str] = set()
        for path in shards(folder):
            try:
                file = self._stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise TensorError(f"cannot read {path}: {error}. The file may be truncated; copy it again.") from error
            self._file_of.update(dict.fromkeys(file.keys(), file))

    def __enter__(self) -> ModelTensors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape without reading it.

        Raises:
            TensorError: there is no such tensor.
        """
        if name not in self._file_of:
            raise TensorError(f"{self.folder} has no tensor {name!r}, which the graph needs")
        return tuple(self._file_of[name].get_slice(name).get_shape())

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Read a tensor as float32 and mark it used.

        Raises:
            TensorError: missing, of another shape, or with entries that are not finite.
        """
        found = self.shape(name)
        if found != shape:
            raise TensorError(f"tensor {name!r} of {self.folder} has shape {list(found)}, expected {list(shape)}")
        value: NDArray[np.float32] = self._file_of[name].get_tensor(name).to(torch.float32).numpy()
        if not np.isfinite(value).all():
            raise TensorError(f"tensor {name!r} of {self.folder} has entries that are not finite")
        self._taken.add(name)
        return value

    def check_all_taken(self, *, may_remain: frozenset[str] = frozenset()) -> None:
        """Check that nothing of the model was left out of the graph.

        Raises:
            TensorError: tensors are left over; the message names them.
        """
        left = sorted(set(self._file_of) - self._taken - may_remain)
        if left:
            raise TensorError(
                f"{len(left)} tensors of {self.folder} have no place in the graph: {', '.join(left[:4])}"
                f"{' …' if len(left) > 4 else ''}. The exported model would compute something else."
            )


def shards(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder, in the order of its index."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise TensorError(f"{folder} lacks {', '.join(missing)}, which {index.name} names. Copy the model again.")
        return [folder / name for name in names]
    single = folder / "model.safetensors"
    if not single.is_file():
        raise TensorError(f"{folder} has no model.safetensors; a model folder in safetensors format is needed")
    return [single]


def parameter_count(folder: Path) -> int:
    """Return the number of stored parameters, tied tensors counted once."""
    total = 0
    for path in shards(folder):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        total += sum(int(np.prod(entry["shape"])) for name, entry in header.items() if name != "__metadata__")
    return total


def checkpoint_hash(model_folder: Path) -> str:
    """Return the SHA-256 of a model's weights: of the file, or of the shards' hashes one after another."""
    hashes = [sha256_file(path) for path in shards(model_folder)]
    return hashes[0] if len(hashes) == 1 else "+".join(hashes)
