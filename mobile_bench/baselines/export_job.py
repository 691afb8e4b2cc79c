"""Exports one model in a process of its own, so that time and peak memory are the export's alone.

`python -m mobile_bench.baselines.export_job MODEL OUT SCORING PRECISION SHAPE HISTORIES` prints one line of JSON.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from mobile_bench.baselines.workload import Workload, find_shape
from mobile_bench.memory import peak_resident_bytes, resident_memory


class ExportFacts(msgspec.Struct, frozen=True):
    """What an export took.

    Attributes:
        seconds: elapsed, golden lists included, imports not.
        cpu_seconds: processor time of the same.
        peak_memory_bytes: the most that was resident at once, libraries included.
        libraries_bytes: resident before the export began: the interpreter and its libraries.
        model_bytes: of the model's weights on disk.
        bundle_bytes: of the graph's weights on disk.
    """

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    libraries_bytes: int
    model_bytes: int
    bundle_bytes: int


def export(model: Path, out: Path, scoring: str, precision: str, shape_name: str, histories: int) -> ExportFacts:
    """Export a benchmark model and return what it took."""
    from odllm_export.bundle import WEIGHTS
    from odllm_export.export import ExportOptions, export_bundle

    shape = find_shape(shape_name)
    dataset = Workload(shape, histories).dataset
    before, started, cpu_started = resident_memory().total, time.perf_counter(), time.process_time()
    options = ExportOptions(
        num_beams=shape.num_beams,
        top_k=shape.top_k,
        scoring=scoring,  # type: ignore[arg-type]
        precision=precision,
    )
    export_bundle(model, dataset, out, options, overwrite=True)
    return ExportFacts(
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu_started,
        peak_memory_bytes=peak_resident_bytes(),
        libraries_bytes=before,
        model_bytes=sum(file.stat().st_size for file in model.glob("*.safetensors")),
        bundle_bytes=(out / WEIGHTS).stat().st_size,
    )


if __name__ == "__main__":
    model_folder, out_folder, how, rounding, shape_argument, count = sys.argv[1:]
    facts = export(Path(model_folder), Path(out_folder), how, rounding, shape_argument, int(count))
    print(msgspec.json.encode(facts).decode())
