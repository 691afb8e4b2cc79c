"""The tensors of a model folder by name, read one at a time: what a folder holds is known from its headers alone.

Tensors are copied out of the files. A mapped one would count as this process's memory as long as any of its file is in
use, and may lie at an odd address, where the same product can come out with another last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from compression.errors import CheckpointError
from odllm_artifact import read_json

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
RECOMPUTED_SUFFIX = "rotary_emb.inv_freq"
"""Older checkpoints store these tables; they follow from the configuration and are made anew."""

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies, its shape, and the dtype it is stored in."""

    path: Path
    shape: tuple[int, ...]
    dtype: torch.dtype


class TensorFiles:
    """The tensors of some safetensors files, such as the `weight_files` of a folder.

    Raises:
        CheckpointError: a file is damaged, or a tensor is of a dtype that no model is computed with.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.tensors: dict[str, StoredTensor] = {}
        for path in paths:
            self.tensors |= {name: tensor for name, tensor in _headers(path) if not name.endswith(RECOMPUTED_SUFFIX)}

    def read(self, name: str, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> torch.Tensor:
        """Return a tensor of its own memory; `dtype` None keeps what is stored.

        Raises:
            CheckpointError: the file cannot be read.
        """
        path = self.tensors[name].path
        try:
            with safe_open(path, framework="pt") as file:
                tensor: torch.Tensor = file.get_tensor(name).to(device, dtype, copy=True)
                return tensor
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error

    def items(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield all tensors as they are stored, by name in alphabetical order."""
        for name in sorted(self.tensors):
            yield name, self.read(name)


def weight_files(folder: Path) -> list[Path]:
    """Return the files the weights are in: one, or the shards that the index names.

    Raises:
        CheckpointError: there is none, or a shard is missing.
        ArtifactError: the index is damaged.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if not (folder / INDEX_FILE).is_file():
        raise CheckpointError(
            f"{folder} holds neither {WEIGHTS_FILE} nor {INDEX_FILE}. Only safetensors are read: save the "
            "model again with `model.save_pretrained(folder)` of a current transformers."
        )
    index = read_json(folder / INDEX_FILE)
    if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
        raise CheckpointError(f"{folder / INDEX_FILE} has no weight_map. Fetch the model again.")
    shards = sorted(set(index["weight_map"].values()))
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {len(shards)} shards missing: {', '.join(missing)}. Fetch them again."
        )
    return [folder / shard for shard in shards]


def _headers(path: Path) -> Iterator[tuple[str, StoredTensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (not a mapping)
                part = file.get_slice(name)
                dtype = part.get_dtype()
                if dtype not in _DTYPES and not name.endswith(RECOMPUTED_SUFFIX):
                    raise CheckpointError(
                        f"{path}: {name} is stored as {dtype}; expected one of {', '.join(_DTYPES)}. "
                        "Fetch the model as it was before it was quantised."
                    )
                yield name, StoredTensor(path, tuple(part.get_shape()), _DTYPES.get(dtype, torch.float32))
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read as safetensors ({error}). Fetch or make it again.")
