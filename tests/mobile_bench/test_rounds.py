from dataclasses import dataclass, field

import pytest

from mobile_bench.errors import WorkerError
from mobile_bench.protocol import RoundReply, Settings
from mobile_bench.rounds import calls_per_round, require_timings, run_rounds
from odllm_artifact import silent


@dataclass
class ClockworkCell:
    """A cell whose calls take a fixed time, which writes down when it was asked."""

    name: str
    call_ms: float
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def run_round(self, first: int, calls: int) -> RoundReply:
        self.asked.append((self.name, first, calls))
        return RoundReply([self.call_ms] * calls, [self.call_ms / 2] * calls, 0.25)


def test_rounds_alternate_and_turn_round() -> None:
    log: list[tuple[str, int, int]] = []
    cells = [ClockworkCell("a", 1.0, log), ClockworkCell("b", 2.0, log)]
    run_rounds(cells, 4, Settings(min_seconds=0, min_calls=12, min_rounds=3), silent)
    assert log == [("a", 0, 4), ("b", 0, 4), ("b", 4, 4), ("a", 4, 4), ("a", 8, 4), ("b", 8, 4)]


def test_every_minimum_must_be_met_by_every_cell() -> None:
    cells = [ClockworkCell("a", 1.0), ClockworkCell("b", 100.0)]
    settings = Settings(min_seconds=0.02, min_calls=3, min_rounds=2)
    timings = require_timings(run_rounds(cells, 1, settings, silent))
    assert [timing.wall.count for timing in timings] == [20, 20]


def test_slow_cell_ends_at_its_time_limit() -> None:
    settings = Settings(min_seconds=1, max_seconds=2, min_calls=100)
    (timing,) = require_timings(run_rounds([ClockworkCell("a", 500.0)], 1, settings, silent))
    assert timing.wall.count == 4


class BrokenCell(ClockworkCell):
    """A cell whose process is gone after its first round."""

    def run_round(self, first: int, calls: int) -> RoundReply:
        if first:
            raise WorkerError("it is gone")
        return super().run_round(first, calls)


def test_cell_that_fails_leaves_the_rounds_and_the_others_go_on() -> None:
    cells = [BrokenCell("a", 1.0), ClockworkCell("b", 1.0)]
    failed, timing = run_rounds(cells, 2, Settings(min_seconds=0, min_calls=6, min_rounds=3), silent)
    assert str(failed) == "it is gone"
    assert not isinstance(timing, Exception)
    assert timing.round_calls == [2, 2, 2]
    with pytest.raises(WorkerError):
        require_timings([failed, timing])


def test_rounds_end_when_every_cell_has_failed() -> None:
    (failed,) = run_rounds([BrokenCell("a", 1.0)], 1, Settings(), silent)
    assert isinstance(failed, WorkerError)


def test_timing_keeps_raw_samples_rounds_and_load() -> None:
    settings = Settings(min_seconds=0, min_calls=6, min_rounds=2)
    (timing,) = require_timings(run_rounds([ClockworkCell("a", 2.0)], 3, settings, silent))
    assert timing.wall_ms == [2.0] * 6
    assert timing.cpu_ms == [1.0] * 6
    assert timing.round_calls == [3, 3]
    assert timing.other_load_cores == 0.25


def test_all_cells_make_as_many_calls_as_the_fastest_can() -> None:
    settings = Settings(round_seconds=0.3, min_calls=50)
    assert calls_per_round([10.0, 1000.0], 32, settings) == 30
    assert calls_per_round([0.01], 32, settings) == 32
    assert calls_per_round([9000.0], 32, settings) == 1
