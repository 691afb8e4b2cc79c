"""How a cell is measured: the settings, and the words that the host and its workers exchange.

A worker reads one JSON request a line and answers each with one JSON line, whatever it is: a Python process on this
host, a program on a phone, a page in a browser. It opens at most one bundle and stays alive, so that the rounds of
several cells can alternate. The passes never mix: load, placement with lists, memory, phases and timing have a fresh
worker each.

A worker only runs and tells. What its answers mean (placement, agreement, quality, validity) is decided here, so that
every device is judged alike.
"""

from __future__ import annotations

import msgspec

from mobile_bench.errors import BenchError
from mobile_bench.placement import Node
from mobile_bench.record import PageCache


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long to measure. All of these minima must be met; `max_seconds` ends it regardless.

    Attributes:
        min_seconds: of timed calls, a cell.
        min_calls: timed calls, a cell.
        min_rounds: rounds in which the cells alternate; ratios are taken round by round.
        round_seconds: about how long the fastest cell is busy in one round.
        max_seconds: of timed calls, a cell; a cell cut short by it is recorded as it is, with the reason.
        warm_up_calls: thrown away before the first round.
        warm_loads: opens after the cold one.
        memory_calls: calls of the memory pass.
        phase_calls: of each kind in the pass that takes a call apart.
        energy_seconds: of calls, and of idling before them, where a device has a meter; 0: no such pass.
        timeout_s: how long one request to a worker may take before it is given up.
    """

    min_seconds: float = 3.0
    min_calls: int = 50
    min_rounds: int = 5
    round_seconds: float = 0.3
    max_seconds: float = 120.0
    warm_up_calls: int = 3
    warm_loads: int = 3
    memory_calls: int = 20
    phase_calls: int = 20
    energy_seconds: float = 10.0
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            BenchError: a minimum below what a measurement needs.
        """
        for name in ("min_calls", "min_rounds", "warm_up_calls", "warm_loads", "memory_calls", "phase_calls"):
            if getattr(self, name) < 1:
                raise BenchError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        if self.energy_seconds < 0:
            raise BenchError(f"energy_seconds is {self.energy_seconds}; 0 or more are needed")
        if not 0 <= self.min_seconds <= self.max_seconds or self.timeout_s <= 0:
            raise BenchError(
                f"min_seconds is {self.min_seconds}, max_seconds {self.max_seconds}, "
                f"timeout_s {self.timeout_s}; 0 ≤ min_seconds ≤ max_seconds and a timeout above 0 are needed"
            )


class CellRequest(msgspec.Struct, frozen=True, tag_field="do"):
    """What a worker is to open.

    Attributes:
        bundle: folder.
        provider: by the command line's name.
        threads: of the intra-op pool.
        histories: item rows, oldest first.
    """

    bundle: str
    provider: str
    threads: int
    histories: list[list[int]]


class MeasureLoad(CellRequest, frozen=True, tag="load"):
    """Open cold, then warm."""

    warm_loads: int = 3


class Question(msgspec.Struct, frozen=True):
    """A history and the items that must not come back, as item rows."""

    history: list[int]
    blocked: list[int] = []


class Inspect(CellRequest, frozen=True, tag="inspect"):
    """Run once under the profiler, then answer questions."""

    questions: list[Question] = []


class MeasureMemory(CellRequest, frozen=True, tag="memory"):
    """Open and call under a memory sampler."""

    calls: int = 20


class MeasurePhases(CellRequest, frozen=True, tag="phases"):
    """Make calls from nothing, with one item new, and with nothing new, by turns."""

    calls: int = 20


class Open(CellRequest, frozen=True, tag="open"):
    """Open for timing and warm up."""

    warm_up_calls: int = 3


class Round(msgspec.Struct, frozen=True, tag_field="do", tag="round"):
    """Make `calls` timed calls; call `first + i` asks history `(first + i) mod histories`."""

    first: int
    calls: int


class Soak(msgspec.Struct, frozen=True, tag_field="do", tag="soak"):
    """Make `calls` untimed calls and look at the memory every `every` calls."""

    calls: int
    every: int


Request = MeasureLoad | Inspect | MeasureMemory | MeasurePhases | Open | Round | Soak


class LoadReply(msgspec.Struct, frozen=True):
    """Answer to `MeasureLoad`; fields as in `record.Load`."""

    cold_ms: float
    page_cache: PageCache
    warm_ms: list[float]


class RankedList(msgspec.Struct, frozen=True):
    """A bundle's answer: item rows and their scores, best first."""

    items: list[int]
    scores: list[float]


class InspectReply(msgspec.Struct, frozen=True):
    """Answer to `Inspect`.

    Attributes:
        nodes: that ran in one call, as the profile shows them; each once.
        answers: to the questions, in order.
        session_options: as the session reports them.
        onnxruntime: version of the worker's.
        runtime_build: what it says about its build, if it does.
    """

    nodes: list[Node]
    answers: list[RankedList]
    session_options: dict[str, str]
    onnxruntime: str
    runtime_build: str | None


class MemoryReply(msgspec.Struct, frozen=True):
    """Answer to `MeasureMemory`; fields as in `record.Memory`."""

    before_open_bytes: int
    peak_memory_bytes: int
    anonymous_peak_bytes: int | None
    file_backed_peak_bytes: int | None


class PhasesReply(msgspec.Struct, frozen=True):
    """Answer to `MeasurePhases`; fields as in `record.Phases`."""

    whole_ms: list[float]
    incremental_ms: list[float]
    repeated_ms: list[float]


class OpenReply(msgspec.Struct, frozen=True):
    """Answer to `Open`: the time of the last warm-up call."""

    call_ms: float


class RoundReply(msgspec.Struct, frozen=True):
    """Answer to `Round`: raw samples, and the processors that other programs kept busy meanwhile; None: not told."""

    wall_ms: list[float]
    cpu_ms: list[float]
    other_load_cores: float | None


class SoakReply(msgspec.Struct, frozen=True):
    """Answer to `Soak`: resident bytes of the process's own after so many calls."""

    calls: list[int]
    anonymous_bytes: list[int]


class Answer(msgspec.Struct, frozen=True):
    """One line of a worker: the reply to a request, or why the request could not be met.

    Attributes:
        reply: the reply as JSON; `null` beside a refusal.
        refused: a message about something that the user can change.
        exit_code: of the error that was raised; 0 without one.
    """

    reply: msgspec.Raw = msgspec.Raw(b"null")
    refused: str | None = None
    exit_code: int = 0
