"""Times that cannot be: a device's clock jumped, or it lost count."""

import math
import time
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from mobile_bench import protocol
from mobile_bench.errors import WorkerError
from mobile_bench.protocol import Settings
from mobile_bench.timed_cell import OpenCell, is_possible


class Clockwork:
    """A worker whose times are given: those of its first life, then those of its second."""

    def __init__(self, lives: Sequence[Sequence[float]]) -> None:
        self.lives = list(lives)
        self.started = 0

    def start_worker(self) -> "Clockwork":
        self.started += 1
        return self

    def ask(self, request: object, reply: object, *, timeout_s: float) -> object:
        if isinstance(request, protocol.Open):
            return protocol.OpenReply(1.0)
        times = list(self.lives[self.started - 1])
        time.sleep(0.004)  # longer than what it says its calls took
        return protocol.RoundReply(times, times, None)

    def close(self, *, kill: bool = False) -> None:
        """Nothing is running."""


def open_cell(*lives: Sequence[float]) -> OpenCell:
    worker = Clockwork(lives)
    cell = SimpleNamespace(name="cell", opening=("bundle", "cpu", 1, [[0]]), start_worker=worker.start_worker)
    return OpenCell(cell, Settings())  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [[1.0, -3.0], [1.0, 3000.0], [1.0, math.inf], [1.0, math.nan], [1.0], []])
def test_impossible_times_are_an_error(times: list[float]) -> None:
    with open_cell(times, times) as cell, pytest.raises(WorkerError, match=r"2 calls were answered .* clock jumps"):
        cell.run_round(0, 2)


def test_a_worker_whose_clock_jumped_is_started_once_more() -> None:
    with open_cell([1.0, -3.0], [1.0, 2.0]) as cell:
        assert cell.run_round(0, 2).wall_ms == [1.0, 2.0]
        assert cell.restarts == 1


def test_samples_fit_into_the_time_that_passed() -> None:
    assert is_possible([10.0, 10.0], elapsed_ms=20.1)
    assert not is_possible([10.0, 3000.0], elapsed_ms=20.1)  # set forward in between
    assert not is_possible([10.0, -5.0], elapsed_ms=20.1)  # set back
    assert not is_possible([float("nan")], elapsed_ms=20.1)
