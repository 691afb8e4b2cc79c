"""A measuring process whose bundles run in a page: `python -m mobile_bench.browser.worker`.

It reads the requests of `mobile_bench.protocol` as `mobile_bench.worker` does, and passes them on to a page in a fresh
browser. What a page cannot know, processor time and memory, it looks at from outside. The browser hangs on pipes of
this process and ends with it, even with one that is killed.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from mobile_bench import protocol
from mobile_bench.browser.page import BrowserPage
from mobile_bench.browser.page_process import tree_cpu_seconds
from mobile_bench.browser.protocol import Describe, PageCalls, PageMemory
from mobile_bench.errors import BenchError, WorkerError
from mobile_bench.memory import MemorySampler
from mobile_bench.serving import busy_seconds, serve


class BrowserSession:
    """What a worker remembers between requests: its browser, started by the first request that names a provider."""

    def __init__(self) -> None:
        self._page: BrowserPage | None = None
        self._ending = ExitStack()

    def __enter__(self) -> BrowserSession:
        return self

    def __exit__(self, *reason: object) -> None:
        self._ending.close()

    def answer(self, request: protocol.Request | Describe) -> msgspec.Struct:
        """Carry out one request.

        Raises:
            BenchError: the page refused, a browser is not installed, or a round was asked for before anything was
                opened.
            WorkerError: the page, or its browser, has died.
        """
        if isinstance(request, Describe):
            return self._started(request.provider).facts
        if isinstance(request, protocol.CellRequest):
            page = self._started(request.provider)
            asked = msgspec.to_builtins(request) | {"bundle": page.serve(Path(request.bundle))}
            return self._opening(page, request, asked)
        if self._page is None:
            raise BenchError(f"a {type(request).__name__} was asked for before a bundle was opened")
        if isinstance(request, protocol.Round):
            return time_round(self._page, request)
        return soak(self._page, request)

    def _opening(self, page: BrowserPage, request: protocol.CellRequest, asked: dict[str, Any]) -> msgspec.Struct:
        match request:
            case protocol.MeasureLoad():
                return page.ask(asked, protocol.LoadReply)
            case protocol.Inspect():
                return page.ask(asked, protocol.InspectReply)
            case protocol.MeasurePhases():
                return page.ask(asked, protocol.PhasesReply)
            case protocol.Open():
                return page.ask(asked, protocol.OpenReply)
        return measure_memory(page, asked)

    def _started(self, provider: str) -> BrowserPage:
        if self._page is None:
            self._page = self._ending.enter_context(BrowserPage(provider))
        return self._page


def measure_memory(page: BrowserPage, asked: dict[str, Any]) -> protocol.MemoryReply:
    """Let the page open its bundle and call it, and watch the page's process meanwhile."""
    before = page.process.resident().total
    with MemorySampler(look=page.process.resident) as sampler:
        page.ask(asked, PageMemory)
    return protocol.MemoryReply(before, page.process.peak_bytes(), sampler.anonymous_peak, sampler.file_backed_peak)


def time_round(page: BrowserPage, request: protocol.Round) -> protocol.RoundReply:
    """Let the page time calls one by one.

    The processor time of a page's process can be read from outside only, around a whole round: its calls get shares of
    it as long as they took.
    """
    busy, own, cpu, started = busy_seconds(), tree_cpu_seconds(), page.process.cpu_ms(), time.perf_counter()
    wall = page.ask(msgspec.to_builtins(request), PageCalls).wall_ms
    cpu_ms, elapsed = page.process.cpu_ms() - cpu, time.perf_counter() - started
    others = max(0.0, (busy_seconds() - busy) - (tree_cpu_seconds() - own))
    return protocol.RoundReply(wall, [cpu_ms * one / sum(wall) for one in wall], others / elapsed)


def soak(page: BrowserPage, request: protocol.Soak) -> protocol.SoakReply:
    """Let the page call again and again, and look at its process's own memory now and then."""
    calls: list[int] = []
    memory: list[int] = []
    for done in range(request.every, request.calls + 1, request.every):
        page.ask({"do": "soak", "calls": request.every}, PageCalls)
        now = page.process.resident()
        calls.append(done)
        memory.append(now.total if now.anonymous is None else now.anonymous)
    return protocol.SoakReply(calls, memory)


def main() -> None:
    """Answer requests until standard input ends."""
    with BrowserSession() as session:
        try:
            serve(session.answer, protocol.Request | Describe)
        except WorkerError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
