"""What every reader returns: the dataset, what was mended, and the hashes of what was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lcrec.dataset import Dataset, save_dataset
from lcrec.errors import DatasetError
from odllm_artifact import sha256_file


@dataclass(frozen=True)
class Imported:
    """A dataset fresh from its source.

    Attributes:
        dataset: what was read.
        repairs: what was mended or left out, counted; the names are those of `repairs.REPAIRS`.
        source: SHA-256 of the files read, by file name.
    """

    dataset: Dataset
    repairs: dict[str, int]
    source: dict[str, str]

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write the dataset folder.

        Raises:
            ArtifactError: something is there already and `overwrite` is false, or it cannot be written.
        """
        save_dataset(self.dataset, folder, repairs=self.repairs, source=self.source, overwrite=overwrite)


def require_file(path: Path, format_name: str) -> Path:
    """Return `path` if a file is there.

    Raises:
        DatasetError: nothing is there, or a folder.
    """
    if path.is_dir():
        raise DatasetError(f"{path} is a folder; the {format_name} format needs a file")
    if not path.is_file():
        raise DatasetError(f"{path} is missing; the {format_name} format needs this file")
    return path


def name_of(path: Path) -> str:
    """Return what a dataset read from this file is called: the file's name without its endings."""
    return path.name.removeprefix(".").partition(".")[0] or path.name


def hash_sources(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return {path.name: sha256_file(path) for path in paths}
