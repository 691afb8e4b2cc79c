"""Steps of a build, each making one folder; a step whose inputs have not changed is not run again."""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from odllm_artifact import sha256_file, write_folder

_STAMP = "inputs.sha256"
_SOURCES = sorted(path for path in Path(__file__).parent.glob("*") if path.suffix in (".py", ".c"))


class Steps:
    """Runs steps and keeps their folders.

    Attributes:
        folder: where the steps' folders lie.
    """

    def __init__(self, folder: Path, report: Callable[[str], None] = print) -> None:
        self.folder = folder
        self._report = report

    def run(self, name: str, inputs: Iterable[Path], options: Sequence[str], make: Callable[[Path], None]) -> Path:
        """Make a step's folder, unless it was made from the same inputs; it appears whole or not at all.

        Args:
            name: of the step and its folder.
            inputs: files it reads; folders stand for all files in them.
            options: whatever else decides its output.
            make: writes the output into a folder. Its source file and those of this package count as inputs.

        Returns:
            The folder.
        """
        with self.alone(name):
            return self._run_alone(name, inputs, options, make)

    def _run_alone(
        self, name: str, inputs: Iterable[Path], options: Sequence[str], make: Callable[[Path], None]
    ) -> Path:
        output = self.folder / name
        digest = _digest([*inputs, Path(inspect.getfile(make)), *_SOURCES], options)
        stamp = output / _STAMP
        if stamp.is_file() and stamp.read_text() == digest:
            return output
        begin = time.monotonic()
        with write_folder(output, overwrite=True) as staging:
            make(staging)
            (staging / _STAMP).write_text(digest)
        self._report(f"{name}: {time.monotonic() - begin:.0f} s")
        return output

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Keep other processes from making the same thing: they wait and then find it made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _digest(inputs: Iterable[Path], options: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(list(options)).encode())
    for path in inputs:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            digest.update(f"\0{file.relative_to(path)}\0{file.name}\0{sha256_file(file)}".encode())
    return digest.hexdigest()
