"""What every measuring process does, whatever it measures: answers requests, warms up, times calls.

Of other packages only msgspec and psutil are imported: it runs in environments without a runtime of ONNX, too.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import psutil

from mobile_bench import protocol
from mobile_bench.errors import WorkerError
from odllm_artifact import OdllmError


class Callee(Protocol):
    """What can be timed: anything that answers numbered questions."""

    def call(self, number: int) -> None:
        """Answer question `number`; numbers beyond the last begin again at the first."""


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
    gc.freeze()  # the next round's collection then looks at what is new only, and leaves the processor's cache alone
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


def busy_seconds() -> float:
    """Return the processor time of all programs on this machine since it started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
