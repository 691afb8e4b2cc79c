"""What is found out about a cell before it is timed: each pass in a fresh worker, so that none disturbs another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np

from mobile_bench import protocol
from mobile_bench.cell import Cell
from mobile_bench.energy import measure_energy
from mobile_bench.errors import WorkerError
from mobile_bench.placement import Placement, check_placement, make_placement
from mobile_bench.protocol import Settings
from mobile_bench.questions import choose_questions
from mobile_bench.record import Device, Energy, Memory, Phases, Quality
from mobile_bench.statistics import distribution
from odllm_export.agreement import Agreement
from odllm_export.providers import find_provider

_EMULATED_CASES = 8
"""Golden cases that are asked where an emulator or a software driver takes seconds a call."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Inspected:
    """What one profiled run and the answers to questions say.

    Attributes:
        device: where it ran.
        placement: of its nodes.
        session_options: as the session reports them.
        agreement: with the golden lists, if the bundle has any.
        quality: on held-out users, if any were given.
    """

    device: Device
    placement: Placement
    session_options: dict[str, str]
    agreement: Agreement | None
    quality: Quality | None


@dataclass(frozen=True)
class Passes:
    """What the passes before the timing found.

    Attributes:
        inspected: by the profiled run and the questions.
        load: times of opening.
        memory: that it took.
        phases: a call taken apart, where time means something.
        energy: of a call, where the device has a meter.
    """

    inspected: Inspected
    load: protocol.LoadReply
    memory: Memory
    phases: Phases | None
    energy: Energy | None


def passes_of(cell: Cell, settings: Settings) -> Passes:
    """Bring a cell's bundle to its device and run its passes; one whose process dies or hangs is tried once more.

    Raises:
        BenchError: a pass failed, with the worker's words.
    """
    cell.install()
    if not cell.is_timed:
        settings = msgspec.structs.replace(settings, warm_loads=1, memory_calls=1)
    return Passes(
        _tried_twice(_inspection, cell, settings),
        _tried_twice(_load_pass, cell, settings),
        _tried_twice(memory_pass, cell, settings),
        _tried_twice(_phases_pass, cell, settings) if cell.is_timed else None,
        _tried_twice(_energy_pass, cell, settings) if cell.is_timed and settings.energy_seconds else None,
    )


def _tried_twice(run: Callable[[Cell, Settings], Found], cell: Cell, settings: Settings) -> Found:
    """Run a pass, and once more if its process died or hung."""
    try:
        return run(cell, settings)
    except WorkerError:
        return run(cell, settings)


def _inspection(cell: Cell, settings: Settings) -> Inspected:
    questions = choose_questions(
        cell.folder,
        cell.manifest,
        cell.users if cell.is_timed else None,
        most_golden=None if cell.is_timed else _EMULATED_CASES,
    )
    asked = protocol.Inspect(*cell.opening, questions=questions.asked)
    found = _inspect(cell, asked, settings)
    alone = found
    if cell.provider != cell.target.reference_provider:
        reference = msgspec.structs.replace(asked, provider=cell.target.reference_provider, questions=[])
        alone = _inspect(cell, reference, settings)
    placement = make_placement(found.nodes, alone.nodes)
    check_placement(placement, cell.provider, find_provider(cell.provider).runtime_name)
    return Inspected(
        device=cell.target.device(found),
        placement=placement,
        session_options=found.session_options,
        agreement=questions.agreement(found.answers),
        quality=questions.quality(found.answers),
    )


def _inspect(cell: Cell, request: protocol.Inspect, settings: Settings) -> protocol.InspectReply:
    with cell.start_worker() as worker:
        return worker.ask(request, protocol.InspectReply, timeout_s=settings.timeout_s)


def _load_pass(cell: Cell, settings: Settings) -> protocol.LoadReply:
    with cell.start_worker() as worker:
        request = protocol.MeasureLoad(*cell.opening, warm_loads=settings.warm_loads)
        return worker.ask(request, protocol.LoadReply, timeout_s=settings.timeout_s)


def memory_pass(cell: Cell, settings: Settings) -> Memory:
    """Return what memory opening and calling takes.

    Raises:
        BenchError: the worker failed.
    """
    with cell.start_worker() as worker:
        request = protocol.MeasureMemory(*cell.opening, calls=settings.memory_calls)
        reply = worker.ask(request, protocol.MemoryReply, timeout_s=settings.timeout_s)
    return Memory(
        before_open_bytes=reply.before_open_bytes,
        peak_memory_bytes=reply.peak_memory_bytes,
        anonymous_peak_bytes=reply.anonymous_peak_bytes,
        file_backed_peak_bytes=reply.file_backed_peak_bytes,
        calls=settings.memory_calls,
    )


def _phases_pass(cell: Cell, settings: Settings) -> Phases:
    with cell.start_worker() as worker:
        request = protocol.MeasurePhases(*cell.opening, calls=settings.phase_calls)
        reply = worker.ask(request, protocol.PhasesReply, timeout_s=settings.timeout_s)
    whole, repeated = np.asarray(reply.whole_ms), np.asarray(reply.repeated_ms)
    return Phases(
        whole_ms=reply.whole_ms,
        incremental_ms=reply.incremental_ms,
        repeated_ms=reply.repeated_ms,
        whole=distribution(whole),
        incremental=distribution(reply.incremental_ms),
        repeated=distribution(repeated),
        prefill=distribution(whole - repeated),
        per_step=distribution(repeated / len(cell.manifest.prompt.code_sizes)),
    )


def _energy_pass(cell: Cell, settings: Settings) -> Energy | None:
    meter = cell.target.energy_meter()
    return None if meter is None else measure_energy(cell, meter, settings)
