"""What measures power: counters of energy that only grow, and gauges of power that are looked at again and again."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

from mobile_bench.errors import DeviceError

Method = Literal["power-rails", "fuel-gauge", "rapl"]

_95_PERCENT = 1.96
_RAPL_FOLDER = Path("/sys/class/powercap")
_MICRO = 1e-6


@dataclass
class Watch:
    """What was drawn over a time.

    Attributes:
        seconds: of it.
        joules: drawn.
        error_joules: half of the 95 % interval.
    """

    seconds: float = 0.0
    joules: float = 0.0
    error_joules: float = 0.0

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.joules / self.seconds


class Meter(Protocol):
    """What measures power.

    Attributes:
        method: as the record names it.
    """

    @property
    def method(self) -> Method:
        """As the record names it."""

    def watch(self) -> AbstractContextManager[Watch]:
        """Measure while the `with` block runs; the watch's figures are there when it has ended.

        Raises:
            DeviceError: the meter cannot be read any more.
        """


@dataclass
class _CounterWatch:
    read_joules: Callable[[], float]
    resolution_joules: float
    watch: Watch = field(default_factory=Watch)
    begin: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> Watch:
        self.begin = (self.read_joules(), time.monotonic())
        return self.watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        joules, now = self.read_joules(), time.monotonic()
        self.watch.seconds, self.watch.joules = now - self.begin[1], joules - self.begin[0]
        self.watch.error_joules = self.resolution_joules
        if self.watch.joules < 0 and kind is None:
            raise DeviceError("the energy counter went backwards: it began anew in the middle. Measure again.")


@dataclass(frozen=True)
class CounterMeter:
    """A counter of energy.

    Attributes:
        method: as the record names it.
        read_joules: its value.
        resolution_joules: how much one reading may be off.
    """

    method: Method
    read_joules: Callable[[], float]
    resolution_joules: float

    def watch(self) -> AbstractContextManager[Watch]:
        """Take the counter's difference."""
        return _CounterWatch(self.read_joules, self.resolution_joules)


class _GaugeWatch:
    def __init__(self, read_watts: Callable[[], float], every_s: float) -> None:
        self._read_watts, self._every_s = read_watts, every_s
        self._watch, self._found, self._failed = Watch(), list[float](), list[DeviceError]()
        self._stop, self._begin = threading.Event(), 0.0
        self._thread = threading.Thread(target=self._look, name="power-gauge", daemon=True)

    def __enter__(self) -> Watch:
        self._begin = time.monotonic()
        self._thread.start()
        return self._watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        seconds = time.monotonic() - self._begin
        if kind is not None:
            return
        if self._failed or len(self._found) < 2:
            raise self._failed[0] if self._failed else DeviceError("the power gauge was read less than twice")
        spread = statistics.stdev(self._found) / len(self._found) ** 0.5
        self._watch.seconds, self._watch.joules = seconds, statistics.fmean(self._found) * seconds
        self._watch.error_joules = _95_PERCENT * spread * seconds

    def _look(self) -> None:
        try:
            while not self._stop.is_set():
                self._found.append(self._read_watts())
                self._stop.wait(self._every_s)
        except DeviceError as error:
            self._failed.append(error)


@dataclass(frozen=True)
class GaugeMeter:
    """A gauge of power, read at intervals: its readings count as independent.

    Attributes:
        method: as the record names it.
        read_watts: its value.
        every_s: how often it is read.
    """

    method: Method
    read_watts: Callable[[], float]
    every_s: float = 1.0

    def watch(self) -> AbstractContextManager[Watch]:
        """Take the mean of readings."""
        return _GaugeWatch(self.read_watts, self.every_s)


def rapl_meter(folder: Path = _RAPL_FOLDER) -> CounterMeter | None:
    """Return the processor packages' counters on a host, None where they are missing or closed to this user."""
    counters = sorted(folder.glob("intel-rapl:[0-9]/energy_uj"))
    try:
        for counter in counters:
            int(counter.read_text())
    except (OSError, ValueError):
        return None
    if not counters:
        return None

    def read_joules() -> float:
        return sum(int(counter.read_text()) for counter in counters) * _MICRO

    # Hardware adds to them about every millisecond: a reading is off by what a package draws meanwhile.
    return CounterMeter("rapl", read_joules, 0.1)
