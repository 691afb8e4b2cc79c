"""A source read once, front to back, in bounded memory: unpacked on the way if it is gzip, damage named.

Progress is counted in bytes of the file as it lies on the disk, since nobody knows how long a gzip file unpacks to.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lcrec.errors import DatasetError
from odllm_artifact import Progress, silent

_GZIP_MAGIC = b"\x1f\x8b"

LINES_A_REPORT = 16_384
"""Lines between two reports of progress."""


class SourceFile:
    """An open source.

    Attributes:
        stream: its bytes, unpacked.
    """

    def __init__(self, path: Path, raw: IO[bytes], progress: Progress) -> None:
        packed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        raw.seek(0)
        self.stream: IO[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20) if packed else raw
        self._path, self._raw, self._progress = path, raw, progress
        self._bytes = max(path.stat().st_size, 1)

    def report(self) -> None:
        """Say how far it is."""
        self._progress(self._raw.tell(), self._bytes, self._path.name)


@contextmanager
def open_source(path: Path, progress: Progress = silent) -> Iterator[SourceFile]:
    """Open a source for one pass.

    Raises:
        DatasetError: it cannot be read, or (while reading) is a gzip file that is truncated or damaged.
    """
    try:
        with path.open("rb") as raw:
            yield SourceFile(path, raw, progress)
    except EOFError as error:
        raise DatasetError(f"{path} ends early: the gzip file is truncated. Download it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path} is a damaged gzip file ({error}). Download it again.") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error


def read_lines(path: Path, progress: Progress = silent) -> Iterator[tuple[int, bytes]]:
    """Yield (1-based number, bytes) of every line that is not blank, without the mark that Windows puts in front.

    Raises:
        DatasetError: as `open_source`.
    """
    with open_source(path, progress) as source:
        for number, line in enumerate(source.stream, start=1):
            if number % LINES_A_REPORT == 0:
                source.report()
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield number, line
        source.report()


def split_progress(progress: Progress, passes: Sequence[Path]) -> list[Progress]:
    """Return one `Progress` for each pass over a file, so that all together go from nothing to the end once.

    Args:
        progress: who is told.
        passes: the files in the order in which they will be read; one that is read twice is named twice.
    """
    sizes = [path.stat().st_size if path.is_file() else 0 for path in passes]

    def part(number: int) -> Progress:
        before = sum(sizes[:number])

        def report(done: float, total: float, note: str = "") -> None:
            progress(before + done, max(sum(sizes), 1), note)

        return report

    return [part(number) for number in range(len(sizes))]
