"""SHA-256 of files and folders: how one stage names what it was made from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from odllm_artifact.errors import ArtifactError


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits.

    Raises:
        ArtifactError: the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error


def sha256_folder(path: Path) -> str:
    """Return one SHA-256 over a folder: of the sorted lines `hash  relative/path`.

    Raises:
        ArtifactError: the folder is missing or empty.
    """
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
    if not files:
        raise ArtifactError(f"{path} is not a folder with files in it")
    lines = "".join(f"{sha256_file(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()
