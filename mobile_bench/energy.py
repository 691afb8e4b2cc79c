"""The energy of a call: what is drawn while calls are made, beyond what is drawn while nothing happens."""

from __future__ import annotations

import time
from collections.abc import Callable

from mobile_bench import protocol
from mobile_bench.cell import Cell
from mobile_bench.errors import DeviceError
from mobile_bench.power import Meter, Method, Watch
from mobile_bench.protocol import Settings
from mobile_bench.record import Energy

_CALLS_A_ROUND_MS = 1000.0


def measure_energy(
    cell: Cell, meter: Meter, settings: Settings, sleep: Callable[[float], None] = time.sleep
) -> Energy | None:
    """Measure the energy of calls, in a worker of its own; None where it cannot be told from nothing.

    The bundle is open and warm while the idle time is watched, so that only the calls differ.

    Raises:
        BenchError: the worker failed.
        DeviceError: the meter cannot be read any more.
    """
    with cell.start_worker() as worker:
        opening = protocol.Open(*cell.opening, warm_up_calls=settings.warm_up_calls)
        call_ms = worker.ask(opening, protocol.OpenReply, timeout_s=settings.timeout_s).call_ms
        with meter.watch() as idle:
            sleep(settings.energy_seconds)
        calls, a_round = 0, max(1, round(_CALLS_A_ROUND_MS / max(call_ms, 1e-3)))
        with meter.watch() as busy:
            ends = time.monotonic() + settings.energy_seconds
            while calls == 0 or time.monotonic() < ends:
                worker.ask(protocol.Round(calls, a_round), protocol.RoundReply, timeout_s=settings.timeout_s)
                calls += a_round
    return energy_of(meter.method, idle, busy, calls)


def energy_of(method: Method, idle: Watch, busy: Watch, calls: int) -> Energy | None:
    """Return the energy of a call from two watches; None where the error is larger than the energy.

    Raises:
        DeviceError: the meter stood still.
    """
    if busy.seconds <= 0 or idle.seconds <= 0 or busy.joules <= 0:
        raise DeviceError(f"the meter ({method}) stood still while calls were made")
    scale = busy.seconds / idle.seconds
    joules = busy.joules - idle.joules * scale
    error = (busy.error_joules**2 + (idle.error_joules * scale) ** 2) ** 0.5
    if joules <= error:
        return None
    return Energy(
        method=method,
        calls=calls,
        seconds=busy.seconds,
        idle_watts=idle.watts,
        joules_per_call=joules / calls,
        error_joules_per_call=error / calls,
    )
