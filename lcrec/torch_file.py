"""Checkpoints that appear whole or not at all."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch


def read_torch_file(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return what `write_torch_file` wrote, or None where that is of other work, damaged or not there.

    Args:
        path: the file.
        fingerprint: what `state["fingerprint"]` must be.
    """
    if not path.is_file():
        return None
    try:
        state = torch.load(path, weights_only=True)
    except (EOFError, OSError, RuntimeError, pickle.UnpicklingError):  # damaged; what it holds can be made again
        return None
    known = isinstance(state, dict) and state.get("fingerprint") == fingerprint
    return state if known else None


def write_torch_file(path: Path, state: Any) -> None:
    """Write tensors and plain values; the file is replaced in one step, never half-written.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    # Through memory: torch turns a full disk into an error of its own, writing bytes says what it is.
    buffer, temporary = io.BytesIO(), path.with_suffix(".writing")
    torch.save(state, buffer)
    try:
        temporary.write_bytes(buffer.getbuffer())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
