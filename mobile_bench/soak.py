"""Whether memory stays flat over thousands of calls."""

from __future__ import annotations

import msgspec
import numpy as np

from mobile_bench import protocol
from mobile_bench.cell import Cell
from mobile_bench.errors import BenchError
from odllm_artifact import Progress, silent

LOOKS = 50
MOST_GROWTH_BYTES = 1 << 20
MOST_GROWTH_SHARE = 0.01
_SETTLED_AFTER = 0.2


class SoakReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Memory of the process's own over many calls in one process.

    Attributes:
        bundle: name of its folder.
        provider: by the command line's name.
        threads: of the runtime's pool.
        calls: after how many calls each look was taken.
        anonymous_bytes: resident memory of the process's own at each look (without `/proc`: all of it).
        slope_bytes_per_call: of the line through the looks after the first fifth, in which pools fill.
        growth_bytes: that slope over the calls it was fitted to.
        flat: whether the growth is at most 1 MiB or 1 %, whichever is more.
    """

    bundle: str
    provider: str
    threads: int
    calls: list[int]
    anonymous_bytes: list[int]
    slope_bytes_per_call: float
    growth_bytes: float
    flat: bool


def soak(cell: Cell, calls: int = 10_000, *, timeout_s: float = 3600.0, progress: Progress = silent) -> SoakReport:
    """Call a bundle `calls` times in one fresh process and report how its memory moved.

    Raises:
        BenchError: too few calls to fit a line to.
        DeviceError: the process died or ran past `timeout_s` seconds.
    """
    if calls < LOOKS:
        raise BenchError(f"a soak of {calls} calls was asked for; at least {LOOKS} are needed to see a slope")
    every = calls // LOOKS
    seen: list[int] = []
    memory: list[int] = []
    with cell.start_worker() as worker:
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=timeout_s)
        for look in range(LOOKS):
            reply = worker.ask(protocol.Soak(every, every), protocol.SoakReply, timeout_s=timeout_s)
            seen += [look * every + count for count in reply.calls]
            memory += reply.anonymous_bytes
            progress(look + 1, LOOKS, f"{memory[-1] / 2**20:.1f} MiB")
    return report(cell.folder.name, cell.provider, cell.threads, seen, memory)


def report(bundle: str, provider: str, threads: int, calls: list[int], memory: list[int]) -> SoakReport:
    """Fit a line to the looks of a soak and say whether it is flat."""
    settled = [count > _SETTLED_AFTER * calls[-1] for count in calls]
    x, y = np.asarray(calls, np.float64)[settled], np.asarray(memory, np.float64)[settled]
    slope = float(np.polyfit(x, y, 1)[0])
    growth = slope * float(x[-1] - x[0])
    flat = growth <= max(MOST_GROWTH_BYTES, MOST_GROWTH_SHARE * float(np.median(y)))
    return SoakReport(bundle, provider, threads, calls, memory, slope, growth, flat)
