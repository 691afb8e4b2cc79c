"""The benchmark from end to end: build, export, time side by side, compare lists, write `summary.json`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import onnxruntime

from mobile_bench import protocol
from mobile_bench.baselines.export_job import ExportFacts
from mobile_bench.baselines.flops import Work
from mobile_bench.baselines.foreign_models import ensure_foreign_model
from mobile_bench.baselines.models import BUILD_FILE, ensure_model
from mobile_bench.baselines.rows import BUNDLES, FOREIGN_MODELS, MODELS, ROWS, UNTIMED, BundleSpec, RowSpec
from mobile_bench.baselines.stacks import STACKS, FoundStack, find_stack
from mobile_bench.baselines.summary import (
    Measured,
    Summary,
    long_prompt_growth,
    machine_peaks,
    ratio_intervals,
    summarize_row,
)
from mobile_bench.baselines.worker import CountWork, ListRows, Lists, OpenRow
from mobile_bench.baselines.workload import Shape, Workload, long_shape
from mobile_bench.device import host_device
from mobile_bench.errors import WorkerError
from mobile_bench.rounds import require_timings, run_rounds
from mobile_bench.worker_process import ONE_THREAD, WorkerProcess
from odllm_artifact import Progress, read_json, sha256_file, silent, write_json
from odllm_export.bundle import MANIFEST

SUMMARY_FILE = "summary.json"
EXPORT_FILE_SUFFIX = ".export.json"
WORKER = "mobile_bench.baselines.worker"
TIMEOUT_S = 900.0


class Workloads:
    """The usual prompts and the long ones."""

    def __init__(self, shape: Shape, histories: int) -> None:
        self.usual, self.long = Workload(shape, histories), Workload(long_shape(shape), histories)

    def of(self, long: bool) -> Workload:
        """Return the workload of a row or model."""
        return self.long if long else self.usual


class RowProcess:
    """A row in its process, loaded and warm."""

    def __init__(self, spec: RowSpec, workloads: Workloads, out: Path, worker: WorkerProcess) -> None:
        self._worker = worker
        workload = workloads.of(spec.long)
        histories = [history.tolist() for history in workload.histories]
        opening = OpenRow(spec.kind, str(out / spec.folder), spec.scoring, workload.shape.name, histories)
        worker.ask(opening, protocol.OpenReply, timeout_s=TIMEOUT_S)

    def run_round(self, first: int, calls: int) -> protocol.RoundReply:
        """Make `calls` timed calls, beginning with history `first`."""
        return self._worker.ask(protocol.Round(first, calls), protocol.RoundReply, timeout_s=TIMEOUT_S)

    def lists(self) -> Lists:
        """Return the row's answers to all histories."""
        return self._worker.ask(ListRows(), Lists, timeout_s=TIMEOUT_S)

    def work(self) -> Work:
        """Return what a call of the row computes and moves."""
        return self._worker.ask(CountWork(), Work, timeout_s=TIMEOUT_S)


def run(shape: Shape, out: Path, *, rounds: int, histories: int, progress: Progress = silent) -> Summary:
    """Run the benchmark and write `summary.json` into `out`; models and bundles of an earlier run are reused.

    Args:
        shape: of model, catalogue and prompt.
        out: folder of everything that the benchmark makes.
        rounds: how often every row answers one history, in turn.
        histories: different ones, asked in turn.
        progress: told finished steps; the rounds are most of them.

    Raises:
        DeviceError: a row's process died or hung.
    """
    workloads, stacks = Workloads(shape, histories), {name: find_stack(name) for name in STACKS}
    foreign = {name: spec for name, spec in FOREIGN_MODELS.items() if stacks[spec.stack].python}
    rows = [spec for spec in ROWS if not spec.stack or stacks[spec.stack].python]
    steps, rounds_weight = len(MODELS) + len(BUNDLES) + len(foreign), 6.0 * rounds
    all_steps = steps + rounds_weight + len(rows) + len(UNTIMED)
    for number, (name, model) in enumerate(MODELS.items()):
        progress(number, all_steps, f"building {name}")
        ensure_model(workloads.of(model.long).shape, model.keep_ratio, out / name)
    exports = {}
    for number, (name, bundle) in enumerate(BUNDLES.items(), start=len(MODELS)):
        progress(number, all_steps, f"exporting {name}")
        exports[name] = ensure_bundle(out, name, bundle, workloads.of(MODELS[bundle.model].long))
    for number, (name, spec) in enumerate(foreign.items(), start=len(MODELS) + len(BUNDLES)):
        progress(number, all_steps, f"writing {name}")
        ensure_foreign_model(out, name, spec, stacks[spec.stack])

    def report_rounds(done: float, total: float, note: str = "") -> None:
        progress(steps + rounds_weight * done / total, all_steps, note)

    measured, lists = time_rows(rows, stacks, workloads, out, rounds, report_rounds)
    lists.update(reference_lists(workloads, out))
    summary = _summary(workloads.usual, measured, lists, exports, stacks)
    write_json(out / SUMMARY_FILE, msgspec.to_builtins(summary))
    progress(all_steps, all_steps, "done")
    return summary


def ensure_bundle(out: Path, name: str, spec: BundleSpec, workload: Workload) -> ExportFacts:
    """Export a bundle in a process of its own, unless it stands there, of this model; return what it took.

    Raises:
        WorkerError: the export failed.
    """
    kept = out / (name + EXPORT_FILE_SUFFIX)
    made_from = {
        "build": read_json(out / spec.model / BUILD_FILE),
        "bundle": msgspec.to_builtins(spec),
        "source": _source_hash(),
    }
    if kept.is_file() and (out / name / MANIFEST).is_file() and read_json(kept)["made_from"] == made_from:
        return msgspec.convert(read_json(kept)["facts"], ExportFacts)
    folders, how = [str(out / spec.model), str(out / name)], [spec.scoring, spec.precision]
    asked = [workload.shape.name, str(len(workload.histories))]
    command = [sys.executable, "-m", "mobile_bench.baselines.export_job", *folders, *how, *asked]
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment)
    if done.returncode:
        raise WorkerError(f"the export of {name} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    facts = msgspec.json.decode(done.stdout.splitlines()[-1], type=ExportFacts)
    write_json(kept, {"made_from": made_from, "facts": msgspec.to_builtins(facts)})
    return facts


def time_rows(
    specs: Sequence[RowSpec],
    stacks: Mapping[str, FoundStack],
    workloads: Workloads,
    out: Path,
    rounds: int,
    progress: Progress,
) -> tuple[list[Measured], dict[str, Lists]]:
    """Time rows in alternating rounds; return what was measured of each, and their lists by name."""
    settings = protocol.Settings(min_seconds=0, min_calls=rounds, min_rounds=rounds, max_seconds=TIMEOUT_S)
    with ExitStack() as stack:
        rows = []
        for spec in specs:
            python = Path(stacks[spec.stack].python) if spec.stack else None
            worker = stack.enter_context(WorkerProcess(spec.name, module=WORKER, python=python))
            rows.append(RowProcess(spec, workloads, out, worker))
        timings = require_timings(run_rounds(rows, 1, settings, progress))
        lists = {spec.name: row.lists() for spec, row in zip(specs, rows, strict=True)}
        works = [row.work() for row in rows]
    return [Measured(*one) for one in zip(specs, timings, works, strict=True)], lists


def reference_lists(workloads: Workloads, out: Path) -> dict[str, Lists]:
    """Return the lists of the untimed reference rows by name."""
    found = {}
    for spec in UNTIMED:
        with WorkerProcess(spec.name, module=WORKER) as worker:
            found[spec.name] = RowProcess(spec, workloads, out, worker).lists()
    return found


def _summary(
    workload: Workload,
    measured: Sequence[Measured],
    lists: dict[str, Lists],
    exports: dict[str, ExportFacts],
    stacks: Mapping[str, FoundStack],
) -> Summary:
    intervals, peaks = ratio_intervals(measured), machine_peaks(measured)
    packages = ("odllm", "torch", "transformers", "onnxruntime", "onnx", "numpy")
    versions = {package: importlib.metadata.version(package) for package in packages}
    rows = [summarize_row(one, peaks, lists, workload.shape.top_k) for one in measured]
    return Summary(
        rows=rows,
        ratios={name: interval.cpu for name, interval in intervals.items()},
        ratio_intervals=intervals,
        peaks=peaks,
        skipped={spec.name: stacks[spec.stack].missing for spec in ROWS if spec.stack and stacks[spec.stack].missing},
        long_prompt_growth=long_prompt_growth(rows),
        exports=exports,
        shape=workload.shape,
        prompt_tokens=len(workload.prompts[0]),
        threads=1,
        machine=host_device("host", onnxruntime.__version__, onnxruntime.get_build_info()),
        versions=versions | {key: value for found in stacks.values() for key, value in found.versions.items()},
    )


def _source_hash() -> str:
    """Return a hash over exporter and workload: a bundle that others of them made is not reused."""
    import odllm_export

    files = [*sorted(Path(odllm_export.__path__[0]).rglob("*.py")), Path(__file__).with_name("workload.py")]
    return hashlib.sha256("".join(sha256_file(file) for file in files).encode()).hexdigest()
