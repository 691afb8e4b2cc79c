"""Timing several cells side by side: their rounds alternate, so that drift of the machine meets all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mobile_bench.errors import BenchError
from mobile_bench.protocol import RoundReply, Settings
from mobile_bench.record import Timing
from mobile_bench.statistics import distribution
from odllm_artifact import Progress


class TimedCell(Protocol):
    """A cell whose worker is open and warm."""

    def run_round(self, first: int, calls: int) -> RoundReply:
        """Make `calls` timed calls, beginning with history `first`."""


@dataclass
class Samples:
    """What has been measured of one cell so far."""

    rounds: list[RoundReply] = field(default_factory=list)

    @property
    def wall_ms(self) -> list[float]:
        """Every call's elapsed time, in order."""
        return [sample for one in self.rounds for sample in one.wall_ms]

    @property
    def cpu_ms(self) -> list[float]:
        """Every call's processor time, in order."""
        return [sample for one in self.rounds for sample in one.cpu_ms]

    @property
    def seconds(self) -> float:
        """Elapsed time of all calls."""
        return sum(self.wall_ms) / 1000

    def timing(self) -> Timing:
        """Return the samples as the record holds them."""
        return Timing(
            wall_ms=self.wall_ms,
            cpu_ms=self.cpu_ms,
            round_calls=[len(one.wall_ms) for one in self.rounds],
            wall=distribution(self.wall_ms),
            cpu=distribution(self.cpu_ms),
            other_load_cores=self._other_load(),
        )

    def _other_load(self) -> float | None:
        """Return what other programs kept busy, mean over time; None where a round was not told."""
        weights = [sum(one.wall_ms) for one in self.rounds]
        loads = [one.other_load_cores for one in self.rounds if one.other_load_cores is not None]
        if len(loads) < len(self.rounds):
            return None
        return sum(load * weight for load, weight in zip(loads, weights, strict=True)) / sum(weights)


def calls_per_round(warm_call_ms: Sequence[float], histories: int, settings: Settings) -> int:
    """Return how many calls every cell makes in a round: the same for all, so that rounds are pairs.

    Args:
        warm_call_ms: one warm call of each cell.
        histories: how many different ones there are; a round asks none of them twice.
        settings: of the protocol.
    """
    wanted = round(1000 * settings.round_seconds / max(min(warm_call_ms), 1e-3))
    return max(1, min(wanted, histories, settings.min_calls))


def run_rounds(
    cells: Sequence[TimedCell], calls: int, settings: Settings, progress: Progress
) -> list[Timing | BenchError]:
    """Time the cells in alternating rounds until each has met the minima, or used up its time.

    The order turns round every time (A B, B A, …): a steady drift then falls on no cell more than on another. A cell
    that fails leaves the rounds; its place in the result says why.
    """
    samples, failed = [Samples() for _ in cells], dict[int, BenchError]()
    started, number = time.monotonic(), 0
    while left := [i for i in range(len(cells)) if i not in failed]:
        if all(_is_finished(samples[i], settings) for i in left):
            break
        for i in left if number % 2 == 0 else reversed(left):
            try:
                samples[i].rounds.append(cells[i].run_round(number * calls, calls))
            except BenchError as error:
                failed[i] = error
        number += 1
        done = min(_share(samples[i], settings) for i in left)
        elapsed = time.monotonic() - started
        progress(elapsed, elapsed / max(done, 1e-3), f"round {number}")
    return [failed[i] if i in failed else samples[i].timing() for i in range(len(cells))]


def require_timings(found: Sequence[Timing | BenchError]) -> list[Timing]:
    """Return the timings of rounds in which no cell may fail.

    Raises:
        BenchError: one did.
    """
    for one in found:
        if isinstance(one, BenchError):
            raise one
    return [one for one in found if isinstance(one, Timing)]


def _is_finished(samples: Samples, settings: Settings) -> bool:
    return _share(samples, settings) >= 1 or samples.seconds >= settings.max_seconds


def _share(samples: Samples, settings: Settings) -> float:
    """Return how much of the minima is met, up to 1."""
    return min(
        1.0,
        len(samples.rounds) / settings.min_rounds,
        sum(len(one.wall_ms) for one in samples.rounds) / settings.min_calls,
        samples.seconds / settings.min_seconds if settings.min_seconds else 1.0,
    )
