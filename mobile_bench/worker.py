"""A measuring process on this host: opens one bundle and answers requests. `python -m mobile_bench.worker`.

Started by `mobile_bench.worker_process`, fresh for every pass. Reads requests of `mobile_bench.protocol` from
standard input until it ends; so it ends with the process that started it.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import onnxruntime
import psutil

from mobile_bench import protocol
from mobile_bench.errors import BenchError, WorkerError
from mobile_bench.memory import MemorySampler, peak_resident_bytes, resident_memory
from mobile_bench.page_cache import drop_page_cache
from mobile_bench.placement import read_profile
from odllm_artifact import OdllmError
from odllm_export.bundle import read_manifest
from odllm_export.engine import Options
from odllm_export.runtime import Recommender


class Callee(Protocol):
    """What can be timed: anything that answers numbered questions."""

    def call(self, number: int) -> None:
        """Answer question `number`; numbers beyond the last begin again at the first."""


class OpenedBundle:
    """A bundle and the histories to ask it about."""

    def __init__(self, cell: protocol.CellRequest, profile_prefix: str = "") -> None:
        options = Options(provider=cell.provider, threads=cell.threads, profile_prefix=profile_prefix)
        self.recommender = Recommender.open(Path(cell.bundle), options)
        self.histories = [np.asarray(history, np.int64) for history in cell.histories]

    def call(self, number: int) -> None:
        """Ask about one history; numbers beyond the last begin again at the first."""
        self.recommender.recommend_rows(self.histories[number % len(self.histories)])


def measure_load(request: protocol.MeasureLoad) -> protocol.LoadReply:
    """Open the bundle cold and warm."""
    folder = Path(request.bundle)
    cache = drop_page_cache(folder / name for name in read_manifest(folder).files)
    cold_ms = _open_ms(request)
    return protocol.LoadReply(cold_ms, cache, [_open_ms(request) for _ in range(request.warm_loads)])


def inspect(request: protocol.Inspect) -> protocol.InspectReply:
    """Tell where the bundle's nodes run, and what it answers."""
    with tempfile.TemporaryDirectory(prefix="odllm-bench-") as scratch:
        opened = OpenedBundle(request, str(Path(scratch) / "profile"))
        opened.call(0)
        nodes = read_profile(Path(opened.recommender.inference.end_profiling()))
    return protocol.InspectReply(
        nodes=sorted(nodes),
        answers=[_answer(opened.recommender, question) for question in request.questions],
        session_options=_session_options(opened.recommender),
        onnxruntime=onnxruntime.__version__,
        runtime_build=onnxruntime.get_build_info(),
    )


def _answer(recommender: Recommender, question: protocol.Question) -> protocol.RankedList:
    history, blocked = (np.asarray(rows, np.int64) for rows in (question.history, question.blocked))
    items, scores = recommender.recommend_rows(history, blocked)
    return protocol.RankedList(items.tolist(), scores.tolist())


def measure_memory(request: protocol.MeasureMemory) -> protocol.MemoryReply:
    """Open and call the bundle under a memory sampler."""
    before = resident_memory().total
    with MemorySampler() as sampler:
        opened = OpenedBundle(request)
        for number in range(request.calls):
            opened.call(number)
    return protocol.MemoryReply(before, peak_resident_bytes(), sampler.anonymous_peak, sampler.file_backed_peak)


def measure_phases(request: protocol.MeasurePhases) -> protocol.PhasesReply:
    """Ask about histories from nothing, with their last item new, and with nothing new; by turns, after a warm-up."""
    opened = OpenedBundle(request)
    recommender = opened.recommender
    window = recommender.manifest.prompt.max_items
    whole: list[float] = []
    incremental: list[float] = []
    repeated: list[float] = []
    for number in range(-1, request.calls):
        history = opened.histories[number % len(opened.histories)][-window:]
        session = recommender.session()
        if len(history) > 1:
            session.recommend_rows(history[:-1])
        incremental.append(_ms(lambda: session.recommend_rows(history)))  # noqa: B023 — called at once
        repeated.append(_ms(lambda: session.recommend_rows(history)))  # noqa: B023
        whole.append(_ms(lambda: recommender.recommend_rows(history)))  # noqa: B023
    return protocol.PhasesReply(whole[1:], incremental[1:], repeated[1:])


def warm_up(opened: Callee, calls: int) -> protocol.OpenReply:
    """Make calls that do not count, and say how long the last one took."""
    started = time.perf_counter_ns()
    for number in range(calls):
        started = time.perf_counter_ns()
        opened.call(number)
    return protocol.OpenReply((time.perf_counter_ns() - started) / 1e6)


def time_round(opened: Callee, request: protocol.Round) -> protocol.RoundReply:
    """Time calls one by one, with Python's garbage collector out of the way."""
    wall, cpu = [], []
    gc.collect()
    gc.disable()
    busy_before, own_before, started = busy_seconds(), time.process_time(), time.perf_counter()
    for number in range(request.first, request.first + request.calls):
        cpu_start, wall_start = time.process_time_ns(), time.perf_counter_ns()
        opened.call(number)
        wall_end, cpu_end = time.perf_counter_ns(), time.process_time_ns()
        wall.append((wall_end - wall_start) / 1e6)
        cpu.append((cpu_end - cpu_start) / 1e6)
    elapsed, own = time.perf_counter() - started, time.process_time() - own_before
    others = max(0.0, busy_seconds() - busy_before - own)
    gc.enable()
    return protocol.RoundReply(wall, cpu, others / elapsed)


def soak(opened: Callee, request: protocol.Soak) -> protocol.SoakReply:
    """Call again and again, and look at the process's own memory now and then."""
    calls: list[int] = []
    memory: list[int] = []
    for number in range(1, request.calls + 1):
        opened.call(number)
        if number % request.every == 0:
            now = resident_memory()
            calls.append(number)
            memory.append(now.total if now.anonymous is None else now.anonymous)
    return protocol.SoakReply(calls, memory)


class Session:
    """What a worker remembers between requests: the bundle that it opened for timing."""

    def __init__(self) -> None:
        self.opened: OpenedBundle | None = None

    def answer(self, request: protocol.Request) -> msgspec.Struct:
        """Carry out one request.

        Raises:
            BenchError: a round was asked for before anything was opened.
        """
        match request:
            case protocol.MeasureLoad():
                return measure_load(request)
            case protocol.Inspect():
                return inspect(request)
            case protocol.MeasureMemory():
                return measure_memory(request)
            case protocol.MeasurePhases():
                return measure_phases(request)
            case protocol.Open():
                self.opened = OpenedBundle(request)
                return warm_up(self.opened, request.warm_up_calls)
        if self.opened is None:
            raise BenchError(f"a {type(request).__name__} was asked for before a bundle was opened")
        if isinstance(request, protocol.Round):
            return time_round(self.opened, request)
        return soak(self.opened, request)


def serve(answer: Callable[[Any], msgspec.Struct], requests: Any) -> None:
    """Answer requests until standard input ends.

    Args:
        answer: carries out one request.
        requests: type, or union of types, of the requests.

    Raises:
        WorkerError: what answers has died, and this process must, too.
    """
    # Libraries print to standard output when they please; the answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    decoder = msgspec.json.Decoder(requests)
    for line in sys.stdin.buffer:
        try:
            reply = protocol.Answer(msgspec.Raw(msgspec.json.encode(answer(decoder.decode(line)))))
        except WorkerError:
            raise
        except OdllmError as error:
            reply = protocol.Answer(refused=str(error), exit_code=error.exit_code)
        answers.write(msgspec.json.encode(reply) + b"\n")
        answers.flush()


def _open_ms(request: protocol.CellRequest) -> float:
    gc.collect()
    return _ms(lambda: OpenedBundle(request))


def _ms(act: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - started) / 1e6


def busy_seconds() -> float:
    """Return the processor time of all programs on this machine since it started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def _session_options(recommender: Recommender) -> dict[str, str]:
    options = recommender.inference.get_session_options()
    spinning = options.get_session_config_entry("session.intra_op.allow_spinning")
    return {
        "intra_op_num_threads": str(options.intra_op_num_threads),
        "inter_op_num_threads": str(options.inter_op_num_threads),
        "execution_mode": options.execution_mode.name,
        "graph_optimization_level": options.graph_optimization_level.name,
        "session.intra_op.allow_spinning": spinning,
    }


if __name__ == "__main__":
    serve(Session().answer, protocol.Request)
