"""Finished blocks of a compression that may be killed: written as they are done, taken over by the next run.

A block is two files: its factors (safetensors), then its reports with a fingerprint of everything that the
factors depend on (JSON, written last: without it the block does not count).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file
from torch import nn

from compression.calibration import CalibrationBatch, hash_batches
from compression.checkpoint import write_tensors
from compression.config import CompressionConfig
from compression.errors import CheckpointError
from compression.report import LinearReport
from odllm_artifact import read_json, sha256_file, write_json

WORK_SCHEMA_VERSION = 1


def fingerprint(
    model: nn.Module,
    weights: str,
    batches: Sequence[CalibrationBatch],
    config: CompressionConfig,
    ranks: Mapping[str, int],
) -> str:
    """Return a SHA-256 over the configuration, the ranks, the model's shape and weights and the calibration data."""
    digest = hashlib.sha256(f"{WORK_SCHEMA_VERSION} {weights} {hash_batches(batches)}".encode())
    digest.update(msgspec.json.encode(config))
    digest.update(msgspec.json.encode(dict(ranks), order="sorted"))
    digest.update(model.config.to_json_string().encode())  # type: ignore[union-attr, operator]
    digest.update(f"computed in {model.dtype}".encode())
    return digest.hexdigest()


def hash_weights(weights: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Return a SHA-256 over named tensors, of which one at a time is looked at.

    Raises:
        CheckpointError: one holds a NaN or an infinite value.
    """
    digest = hashlib.sha256()
    for name, tensor in weights:
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{name} holds NaN or infinite weights. Train, fetch or make the model again.")
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def block_files(folder: Path) -> list[Path]:
    """Return the weight files of the finished blocks in a work folder."""
    return sorted(record.with_suffix(".safetensors") for record in folder.glob("block-*.json"))


class WorkFolder:
    """Blocks of one compression, on disk.

    Args:
        folder: where they live; made if missing.
        fingerprint: blocks with another one belong to another run: they are removed.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("block-*.json")):
            if not self._is_ours(path):
                path.unlink()
                path.with_suffix(".safetensors").unlink(missing_ok=True)

    def _is_ours(self, path: Path) -> bool:
        content = read_json(path)
        return isinstance(content, dict) and content.get("fingerprint") == self.fingerprint

    def _paths(self, block: int) -> tuple[Path, Path]:
        path = self.folder / f"block-{block:03d}.safetensors"
        return path, path.with_suffix(".json")

    def save(self, block: int, tensors: dict[str, torch.Tensor], reports: Sequence[LinearReport]) -> None:
        """Write a finished block; it counts from the moment its JSON file stands."""
        weights, record = self._paths(block)
        temporary = weights.with_name(f".{weights.name}.writing")
        write_tensors({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, temporary)
        temporary.replace(weights)
        write_json(
            record,
            {
                "fingerprint": self.fingerprint,
                "sha256": sha256_file(weights),
                "linears": msgspec.to_builtins(list(reports)),
            },
        )

    def load(self, block: int) -> tuple[dict[str, torch.Tensor], list[LinearReport]] | None:
        """Return a finished block's factors and reports, None where it is not there or not whole."""
        weights, record = self._paths(block)
        if not record.is_file() or not weights.is_file():
            return None
        content = read_json(record)
        if content["sha256"] != sha256_file(weights):
            return None
        return load_file(weights), msgspec.convert(content["linears"], list[LinearReport], strict=False)
