from dataclasses import dataclass, field

from mobile_bench.protocol import RoundReply, Settings
from mobile_bench.rounds import calls_per_round, run_rounds
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
    timings = run_rounds(cells, 1, Settings(min_seconds=0.02, min_calls=3, min_rounds=2), silent)
    assert [timing.wall.count for timing in timings] == [20, 20]


def test_slow_cell_ends_at_its_time_limit() -> None:
    settings = Settings(min_seconds=1, max_seconds=2, min_calls=100)
    (timing,) = run_rounds([ClockworkCell("a", 500.0)], 1, settings, silent)
    assert timing.wall.count == 4


def test_timing_keeps_raw_samples_rounds_and_load() -> None:
    (timing,) = run_rounds([ClockworkCell("a", 2.0)], 3, Settings(min_seconds=0, min_calls=6, min_rounds=2), silent)
    assert timing.wall_ms == [2.0] * 6
    assert timing.cpu_ms == [1.0] * 6
    assert timing.round_calls == [3, 3]
    assert timing.other_load_cores == 0.25


def test_all_cells_make_as_many_calls_as_the_fastest_can() -> None:
    settings = Settings(round_seconds=0.3, min_calls=50)
    assert calls_per_round([10.0, 1000.0], 32, settings) == 30
    assert calls_per_round([0.01], 32, settings) == 32
    assert calls_per_round([9000.0], 32, settings) == 1
