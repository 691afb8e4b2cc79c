"""A measuring process on this host: opens one bundle and answers requests. `python -m mobile_bench.worker`.

Started by `mobile_bench.worker_process`, fresh for every pass. Reads requests of `mobile_bench.protocol` from
standard input until it ends; so it ends with the process that started it.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

from mobile_bench import protocol
from mobile_bench.errors import BenchError
from mobile_bench.memory import MemorySampler, peak_resident_bytes, resident_memory
from mobile_bench.page_cache import drop_page_cache
from mobile_bench.placement import read_profile
from mobile_bench.serving import Callee, serve, time_round, warm_up
from odllm_export.bundle import read_manifest
from odllm_export.engine import Options
from odllm_export.runtime import Recommender


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


def _open_ms(request: protocol.CellRequest) -> float:
    gc.collect()
    return _ms(lambda: OpenedBundle(request))


def _ms(act: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - started) / 1e6


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
