"""Compression from folder to folder: one block of the model is in memory at a time, whatever its size.

It is `compression.pipeline` on a model that is on the device `meta`; the embedding has values while the calibration
sequences are embedded, and a block while it is compressed. What is not factored is copied tensor by tensor.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compression.allocation import RankPlan
from compression.calibration import CalibrationBatch
from compression.checkpoint import EMBEDDING, SHARD_BYTES, empty_model, open_tensors, write_model
from compression.config import CompressionConfig
from compression.importance import Importance
from compression.pipeline import compress_blocks
from compression.processes import is_first_process, local_device
from compression.report import CompressionReport
from compression.tensor_files import TensorFiles
from compression.work import block_files
from odllm_artifact import Progress, silent


class FolderBlocks:
    """The blocks of a model folder, read when they are opened and dropped when they are closed.

    Args:
        folder: a dense model, as `save_model` or `save_pretrained` wrote it.
        device: where open parts are.
        dtype: what is computed in; None keeps what is stored.

    Raises:
        CheckpointError: a file or shard is missing or damaged, or a tensor is missing, left over or misshapen.
        UnsupportedModelError: the model is not of the LLaMA family.
        ArtifactError: a JSON file is damaged.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype | None) -> None:
        self.device = device
        self.model = empty_model(folder).eval().requires_grad_(False)
        self.files = open_tensors(self.model, folder)
        self.model.model.rotary_emb.to(device)
        for name, parameter in self.model.named_parameters():
            parameter.data = parameter.data.to(dtype or self.files.tensors[name].dtype)

    @contextmanager
    def open_embedding(self) -> Iterator[Any]:
        """Yield the model with its embedding's values."""
        with self._filled(self.model.model.embed_tokens, EMBEDDING.removesuffix("weight")):
            yield self.model
        if self.model.config.tie_word_embeddings:  # as it was: counted once
            self.model.lm_head.weight = self.model.model.embed_tokens.weight

    @contextmanager
    def open_block(self, block: int) -> Iterator[nn.Module]:
        """Yield a block with its values."""
        with self._filled(self.model.model.layers[block], f"model.layers.{block}.") as module:
            yield module

    @contextmanager
    def _filled(self, module: nn.Module, prefix: str) -> Iterator[nn.Module]:
        values = {
            name: self.files.read(prefix + name, empty.dtype, self.device)
            for name, empty in module.state_dict().items()
        }
        module.load_state_dict(values, assign=True)
        del values
        try:
            yield module
        finally:
            module.to_empty(device="meta")
            _trim_heap()

    def stored_dtype(self, projection: str) -> torch.dtype:
        """Return the dtype that the dense projection is stored in."""
        return self.files.tensors[f"{projection}.weight"].dtype

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield all tensors as they are stored."""
        return self.files.items()


def compress_checkpoint(
    source: Path,
    folder: Path,
    batches: Sequence[CalibrationBatch],
    config: CompressionConfig,
    *,
    work_folder: Path,
    plan: RankPlan | None = None,
    importance: Importance | None = None,
    dtype: torch.dtype | None = torch.float32,
    device: str = "auto",
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = silent,
) -> CompressionReport:
    """Compress the model of a folder into another folder, and report how it went.

    The factors are those that `compress` gives the loaded model, stored in the dtype of the weights they replace.

    Args:
        source: folder of a dense model.
        folder: one being written (`odllm_artifact.write_folder`); left alone by all processes but the first.
        batches: calibration sequences (of training users only), the same in all processes.
        config: what to do.
        work_folder: where finished blocks are kept; a later call with the same weights, batches, config and plan goes
            on there and gives the same bits.
        plan: ranks to use instead of those that `config` gives.
        importance: of the projections' outputs, as `compress`; to take it needs the whole model once.
        dtype: what is computed in; None keeps what is stored. Statistics and factors are computed in float64.
        device: `auto` is a CUDA device if there is one, else the CPU.
        shard_bytes: as `write_model`.
        progress: told after every half block.

    Raises:
        CompressionError: as `compress` and `load_model`.
        ArtifactError: a JSON file is damaged.
    """
    blocks = FolderBlocks(source, local_device(device), dtype)
    report = compress_blocks(
        blocks, batches, config, plan=plan, importance=importance, work_folder=work_folder, progress=progress
    )
    if is_first_process():
        factors = TensorFiles(block_files(work_folder) if report.linears else [])

        def read(name: str) -> torch.Tensor:
            return (factors if name in factors.tensors else blocks.files).read(name)

        write_model(blocks.model, read, folder, shard_bytes=shard_bytes)
    return report


def _trim_heap() -> None:
    """Give freed memory back to the system: glibc keeps the gaps, which grew by a block every few blocks."""
    with suppress(AttributeError, OSError, TypeError):  # other C libraries do without
        ctypes.CDLL(None).malloc_trim(0)
