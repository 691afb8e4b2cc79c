"""Resident memory of this process: what the kernel keeps, and what has to be sampled."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import psutil

_STATUS = Path("/proc/self/status")
SAMPLE_EVERY_S = 0.003


class Resident(NamedTuple):
    """Resident bytes: `anonymous` is the process's own, `file_backed` could be dropped and read again.

    Both are `None` on systems without `/proc`.
    """

    total: int
    anonymous: int | None
    file_backed: int | None


def resident_memory() -> Resident:
    """Return this process's resident memory now."""
    try:
        fields = _status_fields()
    except OSError:
        return Resident(psutil.Process().memory_info().rss, None, None)
    return _resident(fields)


def resident_memory_of(process: int) -> tuple[Resident, int] | None:
    """Return another process's resident memory now and the most that it ever was; None once it has ended.

    Linux only.
    """
    try:
        fields = _status_fields(Path(f"/proc/{process}/status"))
        return _resident(fields), fields["VmHWM"]
    except (OSError, KeyError):  # a process that ended but was not waited for has no memory
        return None


def _resident(fields: dict[str, int]) -> Resident:
    # Shared memory is written to swap, not dropped: it counts as the process's own.
    return Resident(fields["VmRSS"], fields["RssAnon"] + fields["RssShmem"], fields["RssFile"])


def peak_resident_bytes() -> int:
    """Return the most bytes that were ever resident at once in this process, as the kernel kept it."""
    try:
        return _status_fields()["VmHWM"]
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


class MemorySampler:
    """A thread that watches what the kernel keeps no peaks of. For memory passes only: it takes time.

    Args:
        every_s: time between looks.
        look: at whose memory; this process's, if not given.
    """

    def __init__(self, every_s: float = SAMPLE_EVERY_S, look: Callable[[], Resident] = resident_memory) -> None:
        self._look = look
        self.anonymous_peak: int | None = None
        self.file_backed_peak: int | None = None
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-sampler", daemon=True)

    def __enter__(self) -> MemorySampler:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self._sample()

    def _sample(self) -> None:
        now = self._look()
        if now.anonymous is None or now.file_backed is None:
            return
        self.anonymous_peak = max(self.anonymous_peak or 0, now.anonymous)
        self.file_backed_peak = max(self.file_backed_peak or 0, now.file_backed)


def _status_fields(path: Path = _STATUS) -> dict[str, int]:
    """Return the byte counts of `/proc/self/status` by name."""
    fields = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            fields[name] = int(value[:-3]) * 1024
    return fields
