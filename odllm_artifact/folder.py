"""Output folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from odllm_artifact.errors import ArtifactError


def resolve_output(path: Path, *, overwrite: bool) -> Path:
    """Check that a folder may be written at `path`, before hours are spent on its content.

    Raises:
        ArtifactError: something is there already and `overwrite` is false, it is a file,
            or the parent cannot be written.
    """
    path = path.absolute()
    if path.is_file():
        raise ArtifactError(f"{path} is a file; an output folder is written there. Choose another --out.")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise ArtifactError(f"{path} exists already. Choose another --out, or say --overwrite to replace it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot create {path.parent}: {error.strerror}. Choose another --out.") from error
    if not os.access(path.parent, os.W_OK):
        raise ArtifactError(f"{path.parent} is not writable. Choose another --out.")
    return path


def partial_folder(path: Path) -> Path:
    """Where the unfinished work for `path` lives (`NAME.partial` beside it), created if missing.

    A stage that can resume keeps its checkpoints there; `write_folder` removes it once `path` is whole.
    """
    folder = path.absolute().with_name(path.name + ".partial")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def write_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Write a folder beside `path` and rename it into place when the block ends well.

    On any exception, Ctrl-C included, what was written is removed and `path` is as it was.

    Raises:
        ArtifactError: as `resolve_output`.
    """
    path = resolve_output(path, overwrite=overwrite)
    staging = path.with_name(f".{path.name}.{os.getpid()}.writing")
    staging.mkdir()
    try:
        yield staging
        _obey_umask(staging)
        _swap(staging, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    shutil.rmtree(path.with_name(path.name + ".partial"), ignore_errors=True)


def _obey_umask(staging: Path) -> None:
    """Let whoever may read the folder read its files: some writers (safetensors) make them private."""
    mode = staging.stat().st_mode & 0o666
    for file in staging.rglob("*"):
        if file.is_file():
            file.chmod(mode)


def _swap(staging: Path, path: Path) -> None:
    """Put `staging` where `path` is; the old folder goes only when the new one stands."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    try:
        staging.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
