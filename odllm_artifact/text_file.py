"""Text files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from odllm_artifact.errors import ArtifactError


def resolve_output_file(path: Path) -> Path:
    """Check that a file may be written at `path`, before hours are spent on its content; an older one is replaced.

    Raises:
        ArtifactError: a folder is there, or its parent cannot be created or written.
    """
    path = path.absolute()
    if path.is_dir():
        raise ArtifactError(f"{path} is a folder; a file is written there. Choose another name.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot create {path.parent}: {error.strerror}. Choose another place.") from error
    if not os.access(path.parent, os.W_OK):
        raise ArtifactError(f"{path.parent} is not writable. Choose another place.")
    return path


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8; the file is replaced in one step, never half-written.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
