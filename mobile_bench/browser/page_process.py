"""The process that a page runs in, seen from outside: its memory and its processor time. Linux only."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from mobile_bench.errors import WorkerError
from mobile_bench.memory import Resident, resident_memory_of

_WORKER_THREAD = "DedicatedWorker"
"""How Chromium's dedicated workers call their threads."""


class PageProcess:
    """One process of a browser.

    Args:
        process: its id.
    """

    def __init__(self, process: int) -> None:
        self._process = process

    def resident(self) -> Resident:
        """Return its resident memory now.

        Raises:
            WorkerError: it has ended.
        """
        return self._memory()[0]

    def peak_bytes(self) -> int:
        """Return the most bytes that were ever resident at once, as the kernel kept it.

        Raises:
            WorkerError: it has ended.
        """
        return self._memory()[1]

    def cpu_ms(self) -> float:
        """Return the processor time of all its threads."""
        return _cpu_ms(self._process)

    def _memory(self) -> tuple[Resident, int]:
        found = resident_memory_of(self._process)
        if found is None:
            raise WorkerError("the page's process has ended, most likely for want of memory")
        return found


def find_page_process() -> PageProcess:
    """Return the process of the page whose worker runs, among the browsers that this process started.

    A browser keeps processes in reserve and says of none which page it has; only the page's has a worker's thread.

    Raises:
        WorkerError: there is no such process.
    """
    for process in psutil.Process().children(recursive=True):
        for name in Path(f"/proc/{process.pid}/task").glob("*/comm"):
            with contextlib.suppress(OSError):  # a thread that ended
                if name.read_text().startswith(_WORKER_THREAD):
                    return PageProcess(process.pid)
    raise WorkerError("the browser has no process with a page's worker")


def tree_cpu_seconds() -> float:
    """Return the processor time of this process and all that it started and that still run."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _cpu_ms(process: int) -> float:
    """Return a process's time on processors: by the scheduler's count of nanoseconds, not by ticks of 10 ms."""
    total = 0
    for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that ended
            total += int(path.read_text().split()[0])
    return total / 1e6
