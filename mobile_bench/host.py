"""Measuring bundles on this host: a fresh process a pass, timing rounds side by side."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mobile_bench import protocol
from mobile_bench.device import host_device
from mobile_bench.errors import BenchError
from mobile_bench.histories import Histories, choose_histories, given_histories, workload
from mobile_bench.protocol import Settings
from mobile_bench.record import (
    SCHEMA_VERSION,
    BundleIdentity,
    Device,
    Execution,
    Load,
    Memory,
    Record,
    Timing,
)
from mobile_bench.rounds import calls_per_round, run_rounds
from mobile_bench.validity import judge
from mobile_bench.worker_process import WorkerProcess
from odllm_artifact import Progress, sha256_file, silent
from odllm_export.bundle import MANIFEST, Manifest, bundle_bytes, check_files, read_manifest
from odllm_export.engine import PROVIDERS

_PASS_ESTIMATE_S = 2.0


@dataclass(frozen=True)
class Cell:
    """One bundle with one provider and one number of threads."""

    folder: Path
    manifest: Manifest
    histories: Histories
    provider: str
    threads: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.folder.name} ({self.provider}, {self.threads} thread{'s' * (self.threads > 1)})"


def measure(
    bundles: Sequence[Path],
    *,
    provider: str = "cpu",
    threads: Sequence[int] = (1,),
    settings: Settings | None = None,
    histories: Sequence[Sequence[int]] | None = None,
    progress: Progress = silent,
) -> list[Record]:
    """Measure every bundle with every number of threads, side by side; return one record a cell.

    Args:
        bundles: folders.
        provider: execution provider, by the command line's name.
        threads: numbers of threads of the runtime's pool.
        settings: how long to measure; the defaults if not given.
        histories: item rows to ask about, for all bundles alike; each bundle's own if not given.
        progress: told seconds, with an estimate of the whole.

    Raises:
        BenchError: nothing to measure, an unknown provider, or a number of threads below 1.
        DeviceError: a measuring process died or hung, or the provider took no node.
        odllm_export.errors.BundleError: a bundle is damaged.
    """
    settings = settings or Settings()
    cells = _cells(bundles, provider, threads, histories)
    device, run, started = host_device(), uuid.uuid4().hex, time.monotonic()
    rounds_estimate = len(cells) * max(settings.min_seconds, 1.0)
    passes = []
    for number, cell in enumerate(cells):
        expected = 2 * _PASS_ESTIMATE_S * (len(cells) - number) + rounds_estimate
        elapsed = time.monotonic() - started if number else 0.0
        progress(elapsed, elapsed + expected, f"load and memory of {cell.name}")
        passes.append(_run_passes(cell, settings))
    timings = _time_cells(cells, settings, progress)
    elapsed = time.monotonic() - started
    progress(elapsed, elapsed, "done")
    return [
        _record(cell, device, run, settings, passed, timing)
        for cell, passed, timing in zip(cells, passes, timings, strict=True)
    ]


def measure_memory(bundle: Path, settings: Settings | None = None) -> Memory:
    """Open and call a bundle in a process of its own, on one thread of the CPU, and return what memory it took.

    Raises:
        WorkerError: the process died or hung.
        odllm_export.errors.BundleError: the bundle is damaged, or needs more memory than is free.
    """
    (cell,) = _cells([bundle], "cpu", [1], None)
    return _memory_pass(cell, settings or Settings())


@dataclass(frozen=True)
class _Passes:
    """What the passes before the timing found."""

    load: protocol.LoadReply
    memory: Memory


class _OpenCell:
    """A cell whose worker is open for timing."""

    def __init__(self, cell: Cell, worker: WorkerProcess, settings: Settings) -> None:
        self._worker = worker
        self._timeout_s = settings.timeout_s
        request = protocol.Open(*_opening(cell), warm_up_calls=settings.warm_up_calls)
        self.warm_call_ms = worker.ask(request, protocol.OpenReply, timeout_s=settings.timeout_s).call_ms

    def run_round(self, first: int, calls: int) -> protocol.RoundReply:
        """Make `calls` timed calls, beginning with history `first`."""
        return self._worker.ask(protocol.Round(first, calls), protocol.RoundReply, timeout_s=self._timeout_s)


def _cells(
    bundles: Sequence[Path], provider: str, threads: Sequence[int], rows: Sequence[Sequence[int]] | None
) -> list[Cell]:
    if not bundles or not threads:
        raise BenchError("nothing to measure: name at least one bundle and one number of threads")
    if provider not in PROVIDERS:
        raise BenchError(f"provider {provider!r} is not one of {', '.join(PROVIDERS)}")
    if min(threads) < 1:
        raise BenchError(f"{min(threads)} threads were asked for; at least 1 is needed")
    cells = []
    for folder in bundles:
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        histories = choose_histories(folder, manifest) if rows is None else given_histories(rows, manifest)
        cells += [Cell(folder.absolute(), manifest, histories, provider, count) for count in threads]
    return cells


def _opening(cell: Cell) -> tuple[str, str, int, list[list[int]]]:
    return str(cell.folder), cell.provider, cell.threads, cell.histories.rows


def _run_passes(cell: Cell, settings: Settings) -> _Passes:
    with WorkerProcess(cell.name) as worker:
        load = protocol.MeasureLoad(*_opening(cell), warm_loads=settings.warm_loads)
        load_reply = worker.ask(load, protocol.LoadReply, timeout_s=settings.timeout_s)
    return _Passes(load_reply, _memory_pass(cell, settings))


def _memory_pass(cell: Cell, settings: Settings) -> Memory:
    with WorkerProcess(cell.name) as worker:
        request = protocol.MeasureMemory(*_opening(cell), calls=settings.memory_calls)
        reply = worker.ask(request, protocol.MemoryReply, timeout_s=settings.timeout_s)
    return Memory(
        before_open_bytes=reply.before_open_bytes,
        peak_memory_bytes=reply.peak_memory_bytes,
        anonymous_peak_bytes=reply.anonymous_peak_bytes,
        file_backed_peak_bytes=reply.file_backed_peak_bytes,
        calls=settings.memory_calls,
    )


def _time_cells(cells: Sequence[Cell], settings: Settings, progress: Progress) -> list[Timing]:
    with ExitStack() as stack:
        opened = [_OpenCell(cell, stack.enter_context(WorkerProcess(cell.name)), settings) for cell in cells]
        fewest = min(len(cell.histories.rows) for cell in cells)
        calls = calls_per_round([cell.warm_call_ms for cell in opened], fewest, settings)
        return run_rounds(opened, calls, settings, progress)


def _record(cell: Cell, device: Device, run: str, settings: Settings, passes: _Passes, timing: Timing) -> Record:
    return Record(
        schema_version=SCHEMA_VERSION,
        bundle=_identity(cell),
        device=device,
        execution=Execution(
            provider=cell.provider,
            nodes_placed=passes.load.nodes_placed,
            threads=cell.threads,
            session_options=passes.load.session_options,
        ),
        workload=workload(cell.histories, cell.manifest, settings.warm_up_calls),
        time_to_top_k=timing,
        load=Load(cold_ms=passes.load.cold_ms, page_cache=passes.load.page_cache, warm_ms=passes.load.warm_ms),
        memory=passes.memory,
        validity=judge(timing, settings, histories=len(cell.histories.rows), threads=cell.threads, cores=device.cores),
        run=run,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _identity(cell: Cell) -> BundleIdentity:
    manifest = cell.manifest
    return BundleIdentity(
        name=cell.folder.name,
        dataset=manifest.name,
        manifest_sha256=sha256_file(cell.folder / MANIFEST),
        files_sha256={name: fact.sha256 for name, fact in manifest.files.items()},
        precision=manifest.model.precision,
        form=manifest.graph.form,
        scoring=manifest.search.scoring,
        num_beams=manifest.search.num_beams,
        items=manifest.items,
        parameters=manifest.model.parameters,
        keep_ratio=manifest.model.keep_ratio,
        bundle_bytes=bundle_bytes(cell.folder, manifest),
    )
