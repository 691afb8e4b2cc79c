"""Measuring bundles: a fresh worker a pass, timing rounds side by side."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from mobile_bench.cell import Cell, make_cells
from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.histories import workload
from mobile_bench.passes import Passes, memory_pass, passes_of
from mobile_bench.protocol import Settings
from mobile_bench.quality import HeldOutUsers
from mobile_bench.record import Conditions, Execution, Load, Memory, Record, Timing
from mobile_bench.results import Failure, Results
from mobile_bench.rounds import calls_per_round, run_rounds
from mobile_bench.target import Target
from mobile_bench.timed_cell import OpenCell
from mobile_bench.validity import judge
from odllm_artifact import Progress, silent

_PASSES = 4
_PASS_ESTIMATE_S = 2.0


def measure(
    bundles: Sequence[Path],
    *,
    providers: Sequence[str] = ("cpu",),
    threads: Sequence[int] = (1,),
    settings: Settings | None = None,
    histories: Sequence[Sequence[int]] | None = None,
    users: HeldOutUsers | None = None,
    progress: Progress = silent,
) -> Results:
    """Measure every bundle with every provider and number of threads, side by side.

    A cell that fails does not end the run. A measuring process that dies or hangs is tried once more.

    Args:
        bundles: folders.
        providers: execution providers, by the command line's names.
        threads: numbers of threads of the runtime's pool.
        settings: how long to measure; the defaults if not given.
        histories: item rows to ask about, for all bundles alike; each bundle's own if not given.
        users: held-out users whose next items are looked for, but on stand-ins; none if not given.
        progress: told seconds, with an estimate of the whole.

    Raises:
        BenchError: nothing to measure, a provider that is not installed, or a number of threads below 1.
        odllm_export.errors.BundleError: a bundle is damaged, or there is no such provider.
    """
    return measure_cells(make_cells(bundles, providers, threads, histories, users), settings or Settings(), progress)


def measure_cells(cells: Sequence[Cell], settings: Settings, progress: Progress = silent) -> Results:
    """Measure cells side by side, as `measure` does."""
    passes, failures = _all_passes(cells, settings, progress)
    stopped = _get_ready(passes, progress)
    targets = {cell.target for cell in passes if cell not in stopped}
    before = {target: _conditions(target) for target in targets}
    timed = [cell for cell in passes if cell.is_timed and cell not in stopped]
    timings, failed_there = _time_cells(timed, settings, progress)
    stopped |= failed_there
    moments = {target: (before[target], _conditions(target)) for target in targets}
    run = uuid.uuid4().hex
    records = [
        _record(cell, run, settings, passed, timings.get(cell), moments[cell.target])
        for cell, passed in passes.items()
        if cell not in stopped
    ]
    failed = failures | stopped
    return Results(records=records, failures=[_failure(cell, failed[cell]) for cell in cells if cell in failed])


def _get_ready(cells: Iterable[Cell], progress: Progress) -> dict[Cell, str]:
    """Wait for every device; return why the cells of those that never got ready cannot be timed."""
    unready: dict[Target, str] = {}
    cells = list(cells)
    for target in {cell.target: None for cell in cells}:
        try:
            target.get_ready(progress)
        except DeviceError as error:
            unready[target] = str(error)
    return {cell: unready[cell.target] for cell in cells if cell.target in unready}


def _conditions(target: Target) -> Conditions:
    """Return how a device is; a device that went away tells nothing, and its cells say so."""
    try:
        return target.conditions()
    except DeviceError:
        return Conditions(temperature_c=None, thermal_status=None, battery_percent=None, charging=None)


def require_records(results: Results) -> list[Record]:
    """Return the records of a run in which nothing may fail.

    Raises:
        DeviceError: a cell failed.
    """
    if results.failures:
        failure = results.failures[0]
        raise DeviceError(f"{failure.label}: {failure.reason}")
    return results.records


def measure_memory(bundle: Path, settings: Settings | None = None) -> Memory:
    """Open and call a bundle in a process of its own, on one thread of the CPU, and return what memory it took.

    Raises:
        WorkerError: the process died or hung.
        odllm_export.errors.BundleError: the bundle is damaged, or needs more memory than is free.
    """
    (cell,) = make_cells([bundle], ["cpu"], [1])
    return memory_pass(cell, settings or Settings())


def _all_passes(
    cells: Sequence[Cell], settings: Settings, progress: Progress
) -> tuple[dict[Cell, Passes], dict[Cell, str]]:
    """Run the passes before the timing; return what they found, and why the others failed."""
    passes: dict[Cell, Passes] = {}
    failures: dict[Cell, str] = {}
    rounds_estimate, started = len(cells) * max(settings.min_seconds, 1.0), time.monotonic()
    for number, cell in enumerate(cells):
        expected = _PASSES * _PASS_ESTIMATE_S * (len(cells) - number) + rounds_estimate
        elapsed = time.monotonic() - started if number else 0.0
        progress(elapsed, elapsed + expected, f"load and memory of {cell.name}")
        try:
            passes[cell] = passes_of(cell, settings)
        except BenchError as error:  # the worker's words: what is wrong with the whole run was found before
            failures[cell] = str(error)
    return passes, failures


def _time_cells(
    cells: Sequence[Cell], settings: Settings, progress: Progress
) -> tuple[dict[Cell, tuple[Timing, int]], dict[Cell, str]]:
    """Time cells side by side; return timings with how often a worker was restarted, and why cells failed."""
    failures: dict[Cell, str] = {}
    with ExitStack() as stack:
        opened: dict[Cell, OpenCell] = {}
        for cell in cells:
            try:
                opened[cell] = stack.enter_context(OpenCell(cell, settings))
            except BenchError as error:
                failures[cell] = str(error)
        if not opened:
            return {}, failures
        fewest = min(len(cell.histories.rows) for cell in opened)
        calls = calls_per_round([one.warm_call_ms for one in opened.values()], fewest, settings)
        found = run_rounds(list(opened.values()), calls, settings, progress)
    timings = {}
    for (cell, one), timing in zip(opened.items(), found, strict=True):
        if isinstance(timing, BenchError):
            failures[cell] = str(timing)
        else:
            timings[cell] = (timing, one.restarts)
    return timings, failures


def _record(
    cell: Cell,
    run: str,
    settings: Settings,
    passes: Passes,
    timed: tuple[Timing, int] | None,
    moments: tuple[Conditions, Conditions],
) -> Record:
    load, inspected = passes.load, passes.inspected
    timing, restarts = timed or (None, 0)
    return Record(
        bundle=cell.identity(),
        device=inspected.device,
        execution=Execution(
            provider=cell.provider,
            placement=inspected.placement,
            threads=cell.threads,
            session_options=inspected.session_options,
        ),
        workload=workload(cell.histories, cell.manifest, settings.warm_up_calls),
        time_to_top_k=timing,
        phases=passes.phases,
        load=Load(cold_ms=load.cold_ms, page_cache=load.page_cache, warm_ms=load.warm_ms),
        memory=passes.memory,
        agreement=inspected.agreement,
        energy=passes.energy,
        quality=inspected.quality,
        conditions=moments,
        validity=judge(
            timing,
            inspected.agreement,
            settings,
            histories=len(cell.histories.rows),
            threads=cell.threads,
            cores=inspected.device.cores,
            restarts=restarts,
            after=moments[1],
        ),
        run=run,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _failure(cell: Cell, reason: str) -> Failure:
    return Failure.of(cell.folder, cell.provider, cell.threads, reason.replace(f"{cell.name}: ", "", 1))
