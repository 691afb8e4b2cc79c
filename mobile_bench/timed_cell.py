"""A cell whose process is open and warm, and is started once more if it dies."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType

from mobile_bench import protocol
from mobile_bench.cell import Cell
from mobile_bench.errors import WorkerError
from mobile_bench.protocol import Settings
from mobile_bench.target import Worker

MOST_RESTARTS = 1

_CLOCK_SLACK = 1.01
"""By how much a device's clock may run faster than this host's: far more than any quartz does."""


def is_possible(samples_ms: Sequence[float], elapsed_ms: float) -> bool:
    """Return whether calls made one after the other can have taken so long, in `elapsed_ms` by this host's clock."""
    return all(math.isfinite(one) and one >= 0 for one in samples_ms) and sum(samples_ms) <= _CLOCK_SLACK * elapsed_ms


class OpenCell:
    """A cell open for timing; its process ends with the `with` block.

    Attributes:
        restarts: how often its process had died, or its clock jumped, and it was started again.
        warm_call_ms: the last warm-up call's time.
    """

    def __init__(self, cell: Cell, settings: Settings) -> None:
        self._cell, self._settings = cell, settings
        self._worker: Worker | None = None
        self.restarts = 0
        self.warm_call_ms = 0.0

    def __enter__(self) -> OpenCell:
        try:
            self._open()
        except WorkerError:
            self._restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.close(kill=kind is not None)

    def run_round(self, first: int, calls: int) -> protocol.RoundReply:
        """Make `calls` timed calls, beginning with history `first`.

        Raises:
            BenchError: the process refused, or died for the second time.
        """
        try:
            return self._ask(first, calls)
        except WorkerError:
            if self.restarts == MOST_RESTARTS:
                raise
            self._restart()
            return self._ask(first, calls)

    def _ask(self, first: int, calls: int) -> protocol.RoundReply:
        assert self._worker is not None
        request = protocol.Round(first, calls)
        started = time.monotonic()
        reply = self._worker.ask(request, protocol.RoundReply, timeout_s=self._settings.timeout_s)
        elapsed_ms = 1000 * (time.monotonic() - started)
        counted = len(reply.wall_ms) == len(reply.cpu_ms) == calls
        if not counted or not is_possible(reply.wall_ms, elapsed_ms) or not all(map(math.isfinite, reply.cpu_ms)):
            raise WorkerError(
                f"{self._cell.name}: {calls} calls were answered with {len(reply.wall_ms)} times, together "
                f"{sum(reply.wall_ms):g} ms, after {elapsed_ms:g} ms by this host's clock: the device's clock jumps"
            )
        return reply

    def _restart(self) -> None:
        if self._worker is not None:
            self._worker.close(kill=True)
        self.restarts += 1
        self._open()

    def _open(self) -> None:
        self._worker = worker = self._cell.start_worker()
        try:
            request = protocol.Open(*self._cell.opening, warm_up_calls=self._settings.warm_up_calls)
            self.warm_call_ms = worker.ask(request, protocol.OpenReply, timeout_s=self._settings.timeout_s).call_ms
        except BaseException:
            worker.close(kill=True)
            raise
