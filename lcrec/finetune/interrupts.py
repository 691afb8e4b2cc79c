"""Ctrl-C and the end of a job's time are asked for politely once: the step under way ends first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT or SIGTERM has come; a second SIGINT interrupts at once.

    What ignores a signal goes on ignoring it. Outside the main thread nothing is watched.
    """
    came: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if number == signal.SIGINT and came.count(number) > 1:
            if callable(before[number]):  # whose handler it was may want to know
                before[number](number, frame)
            raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for watched in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(watched) not in (signal.SIG_IGN, None):  # None: not Python's, it cannot be put back
                before[watched] = signal.signal(watched, note)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
