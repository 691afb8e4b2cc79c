"""A Markdown table of measured cells, fit for a README, with a line on where it comes from."""

from __future__ import annotations

from collections.abc import Sequence

from mobile_bench.collection import Collection, MeasuredDevice, ReportedCell
from mobile_bench.printers import table_line
from mobile_bench.record import LATENCY_KINDS, Distribution, Record

_MIB = 2**20
_NONE = "–"
_TEXTS = ("bundle", "precision", "keep", "device", "provider")
_FIGURES = (
    *("p50 ms (95 %)", "p90 ms", "one new item ms", "load ms", "peak MiB (anonymous / file-backed)", "disk MiB"),
    *("NDCG@10", "lists"),
)


def readme_table(collection: Collection) -> str:
    """Return one row a measured cell, and below it one line of provenance with all reasons not to quote a row.

    Kinds of device whose latency means nothing have no times.
    """
    lines = []
    if collection.cells:
        lines += [table_line([*_TEXTS, *_FIGURES]), table_line(["---"] * len(_TEXTS) + ["---:"] * len(_FIGURES))]
        lines += [table_line(_row(cell)) for cell in collection.cells]
        lines.append("")
    return "\n".join([*lines, _provenance(collection), ""])


def _row(cell: ReportedCell) -> list[str]:
    record, bundle, timing = cell.record, cell.record.bundle, cell.timing
    return [
        bundle.name + ("" if record.validity.valid else " !"),
        bundle.precision,
        f"{bundle.keep_ratio:.3g}",
        _short_device(record),
        f"{record.execution.provider} × {record.execution.threads}",
        _NONE if timing is None else _median(timing.wall),
        _NONE if timing is None else f"{timing.wall.p90:.2f}",
        _NONE if cell.phases is None else f"{cell.phases.incremental.p50:.2f}",
        _NONE if cell.load_ms is None else f"{cell.load_ms:.0f}",
        _memory(cell),
        f"{bundle.bundle_bytes / _MIB:.2f}",
        _NONE if record.quality is None else f"{record.quality.ndcg_10:.4f}",
        _NONE if record.agreement is None else f"{record.agreement.overlap:.1%}",
    ]


def _short_device(record: Record) -> str:
    device = record.device
    name = device.model or device.cpu_model
    return name if device.device_kind in ("host", "phone") else f"{name} ({device.device_kind})"


def _median(found: Distribution) -> str:
    return f"{found.p50:.2f} ({found.p50_low:.2f}–{found.p50_high:.2f})"


def _memory(cell: ReportedCell) -> str:
    memory = cell.record.memory
    if cell.record.device.device_kind not in LATENCY_KINDS:
        return _NONE  # of an emulator, which needs its own
    if memory.anonymous_peak_bytes is None and memory.file_backed_peak_bytes is None:
        return f"{memory.peak_memory_bytes / _MIB:.1f}"
    parts = (memory.anonymous_peak_bytes, memory.file_backed_peak_bytes)
    said = " / ".join("?" if part is None else f"{part / _MIB:.1f}" for part in parts)
    return f"{memory.peak_memory_bytes / _MIB:.1f} ({said})"


def _provenance(collection: Collection) -> str:
    """Return devices, runtimes and days, what the columns mean, marks with their reasons, failed cells: one line."""
    parts = [*map(_device, collection.devices)]
    if collection.cells:
        parts.append("Provider × threads; lists: share of the golden lists' items that came back")
    doubts = _doubts(collection)
    if doubts:
        parts.append(f"! Not to be quoted: {'; '.join(doubts)}")
    if collection.failed:
        reasons = "; ".join(f"{one.failure.label}: {one.failure.reason.rstrip('.')}" for one in collection.failed)
        parts.append(f"Failed: {reasons}")
    return "".join(f"{part}. " for part in parts).rstrip()


def _device(measured: MeasuredDevice) -> str:
    device, records = measured.device, [cell.record for cell in measured.cells]
    runtimes = _joined([record.device.onnxruntime for record in records])
    days = _joined(sorted(record.measured_at[:10] for record in records))
    kind = (
        f"{device.device_kind}, neither time nor memory, which would say nothing"
        if measured.is_stand_in
        else device.device_kind
    )
    name = device.model or device.cpu_model
    return (
        f"Measured {days} on {name} ({kind}; {device.cores} cores, {device.os}, {device.architecture}), "
        f"onnxruntime {runtimes}"
    )


def _doubts(collection: Collection) -> list[str]:
    """Return the marked cells by the reasons that they share, each reason without its figures."""
    by_reasons: dict[str, list[str]] = {}
    for cell in collection.cells:
        if not cell.record.validity.valid:
            reasons = [reason.partition(":")[0] for reason in cell.record.validity.reasons]
            by_reasons.setdefault(", ".join(reasons), []).append(cell.record.label)
    return [f"{', '.join(cells)} ({reasons})" for reasons, cells in by_reasons.items()]


def _joined(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))
