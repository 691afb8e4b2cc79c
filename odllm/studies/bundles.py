"""Exported bundles in a study: their quality beside the rounding in torch, and their time side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mobile_bench.compare import paired_ratio
from mobile_bench.host import measure, require_records
from mobile_bench.protocol import Settings
from mobile_bench.record import Record
from mobile_bench.results import to_builtins
from odllm.evaluation_targets import bundle_ranker
from odllm.studies.cells import DENSE, Cell, Recipe, Result
from odllm.studies.making import compress_by
from odllm.studies.running import Answer, Bench, ranked
from odllm.studies.tables import MIB, line
from odllm_artifact import Progress, silent, write_json
from odllm_export.bundle import WEIGHTS, read_manifest
from odllm_export.engine import Options
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender

SOURCE = "bundle"
"""The source of cells that are exported and run under ONNX Runtime; their recipe starts from the dense model."""

TIMES, TIMES_TABLE = "times.json", "times.md"
_SHORT = 1
_HISTORIES = 32


def bundle_answer(dense: Path, threads: int = 1) -> Answer:
    """Return what makes, exports and asks a cell of source `SOURCE`, activations rounded as the bundle rounds them."""

    def answer(bench: Bench, cell: Cell, progress: Progress) -> Result:
        with exported(bench, dense, cell.recipe, "bundle", progress) as folder:
            manifest = read_manifest(folder)
            with Recommender.open(folder, Options(threads=threads)) as recommender:
                result = ranked(bench, bundle_ranker(recommender, bench.dataset), cell, progress)
        return msgspec.structs.replace(
            result,
            parameters=manifest.model.parameters,
            keep_ratio=manifest.model.keep_ratio,
            weight_bytes=manifest.files[WEIGHTS].bytes,
        )

    return answer


@contextmanager
def exported(bench: Bench, dense: Path, recipe: Recipe, name: str, progress: Progress = silent) -> Iterator[Path]:
    """Make the model of a recipe, export it at its precision, and yield the bundle; it is deleted afterwards.

    Raises:
        CompressionError: the model cannot be compressed so.
        ExportError: it cannot be exported so.
    """
    protocol = bench.protocol
    options = ExportOptions(
        num_beams=protocol.num_beams,
        scoring=protocol.scoring,  # type: ignore[arg-type]
        precision=recipe.precision,
    )
    with tempfile.TemporaryDirectory(prefix="odllm-study-") as temporary:
        model, bundle = dense, Path(temporary) / name
        if recipe.config is not None:
            model = Path(temporary) / "model"
            compress_by(recipe, dense, bench.dataset_folder, model, progress)
        export_bundle(model, bench.dataset, bundle, options)
        yield bundle


def time_bundles(
    bench: Bench,
    recipes: Sequence[tuple[str, Recipe]],
    out: Path,
    *,
    threads: int = 1,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> str:
    """Measure two bundles in alternating rounds, with short and with full histories; write and return the table.

    A full history's call is prefill and decoding; one of a single item hardly anything but decoding. Both are times to
    top-k on this machine.

    Args:
        bench: whose dense model and dataset.
        recipes: name and recipe of each; ratios are the first one's time ÷ the second's.
        out: folder of the study.
        threads: of the runtime.
        settings: how long to measure.
        progress: told about the measurement.

    Raises:
        MobileBenchError: a bundle could not be measured.
    """
    dense = bench.sources[DENSE]
    (first, one), (second, other) = recipes
    with exported(bench, dense, one, first) as a, exported(bench, dense, other, second) as b:
        window = read_manifest(a).prompt.max_items
        found = {
            items: measure(
                [a, b], threads=[threads], settings=settings, histories=_rows(bench, items), progress=progress
            )
            for items in (_SHORT, window)
        }
    write_json(out / TIMES, {str(items): to_builtins(results) for items, results in found.items()})
    table = _times_table({items: require_records(results) for items, results in found.items()})
    (out / TIMES_TABLE).write_text(table, encoding="utf-8")
    return table


def _rows(bench: Bench, items: int) -> list[list[int]]:
    """Return the last items of the longest histories, all of one length where there are enough."""
    users = sorted(bench.users.tolist(), key=lambda user: -len(bench.dataset.sequences[user]))[:_HISTORIES]
    return [bench.dataset.sequences[user][-items:].tolist() for user in users]


def _times_table(records: dict[int, list[Record]]) -> str:
    lines = [
        line(["bundle", "history, items", "weights, MiB", "p50 ms", "p90 ms"]),
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    ratios = []
    for items, (one, other) in records.items():
        for record in (one, other):
            times, size = record.timing.wall, record.bundle.bundle_bytes / MIB
            note = "" if record.validity.valid else " (" + "; ".join(record.validity.reasons) + ")"
            lines.append(
                line([record.bundle.name + note, str(items), f"{size:.2f}", f"{times.p50:.2f}", f"{times.p90:.2f}"])
            )
        found = paired_ratio(one, other)
        ratios.append(
            f"{one.bundle.name} ÷ {other.bundle.name}, {items} items: {found.ratio:.3f} ({found.low:.3f} to "
            f"{found.high:.3f} over {found.rounds} alternating rounds)."
        )
    device = next(iter(records.values()))[0].device
    where = f"Time to top-k on this {device.device_kind}: {device.cpu_model}, onnxruntime {device.onnxruntime}."
    return "\n".join([*lines, "", where, *(f"{part}" for ratio in ratios for part in ("", ratio)), ""])
