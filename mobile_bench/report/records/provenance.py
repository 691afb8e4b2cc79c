"""Where the figures come from: files, runs, devices, bundles, session options, conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mobile_bench.collection import Collection, MeasuredDevice, ReportedCell
from mobile_bench.record import Conditions, Record
from mobile_bench.report.content import Fact
from mobile_bench.report.records.rows import mib_text
from mobile_bench.report.records.tables import CellRow, Table
from mobile_bench.report.tables import TableCell

_NOT_TOLD = "not told"


@dataclass(frozen=True)
class Facts:
    """Facts under one heading."""

    title: str
    facts: list[Fact]


def provenance(collection: Collection) -> list[Facts]:
    """Return all facts, sorted by what they are about."""
    return [
        _runs(collection),
        *(_device(measured) for measured in collection.devices),
        *(_session(measured) for measured in collection.devices),
        *_bundles(collection),
    ]


def dates(cells: Sequence[ReportedCell]) -> str:
    """Return the day or days on which cells were measured."""
    days = sorted(cell.record.measured_at[:10] for cell in cells)
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def _runs(collection: Collection) -> Facts:
    facts = [Fact(label="files of records", value=", ".join(collection.files) or _NOT_TOLD)]
    by_run: dict[str, list[ReportedCell]] = {}
    for cell in collection.cells:
        by_run.setdefault(cell.record.run, []).append(cell)
    for run, cells in by_run.items():
        times = sorted(cell.record.measured_at for cell in cells)
        when = times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"
        facts.append(Fact(label=f"run of cells {numbers(cells)}", value=f"{run}, {when}"))
    return Facts("Files and runs", facts)


def numbers(cells: Sequence[ReportedCell]) -> str:
    """Return the numbers of cells, neighbours as a range."""
    found = sorted(cell.number for cell in cells)
    parts: list[list[int]] = []
    for number in found:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}–{part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts)


def _device(measured: MeasuredDevice) -> Facts:
    device, records = measured.device, [cell.record for cell in measured.cells]
    clocks = device.max_clocks_mhz
    facts = {
        "kind": device.device_kind,
        "model": device.model,
        "system on a chip": device.soc,
        "processor": device.cpu_model,
        "cores": str(device.cores),
        "highest clocks": ", ".join(f"{clock:.0f} MHz" for clock in dict.fromkeys(clocks)) if clocks else None,
        "memory": f"{mib_text(device.memory_bytes)} MiB",
        "system": device.os,
        "architecture": device.architecture,
        "onnxruntime": _all(records, lambda record: record.device.onnxruntime),
        "its build": _all(records, lambda record: record.device.runtime_build),
        "Python": _all(records, lambda record: record.device.python),
    }
    return Facts(measured.title, [Fact(label=label, value=value or _NOT_TOLD) for label, value in facts.items()])


def _all(records: Sequence[Record], fact: Callable[[Record], str | None]) -> str | None:
    return "; ".join(dict.fromkeys(found for record in records if (found := fact(record)) is not None)) or None


def _session(measured: MeasuredDevice) -> Facts:
    """Return the session options of a device's cells: those that all share, then each cell's others."""
    options = [cell.record.execution.session_options for cell in measured.cells]
    shared = {key: value for key, value in options[0].items() if all(one.get(key) == value for one in options)}
    facts = [Fact(label=key, value=value) for key, value in shared.items()]
    for cell, one in zip(measured.cells, options, strict=True):
        others = ", ".join(f"{key} = {value}" for key, value in one.items() if key not in shared)
        if others:
            facts.append(Fact(label=f"cell {cell.number}", value=others))
    return Facts(f"Session options, {measured.title}", facts or [Fact(label="options", value=_NOT_TOLD)])


def _bundles(collection: Collection) -> list[Facts]:
    by_hash: dict[str, list[ReportedCell]] = {}
    for cell in collection.cells:
        by_hash.setdefault(cell.record.bundle.manifest_sha256, []).append(cell)
    return [_bundle(cells) for cells in by_hash.values()]


def _bundle(cells: Sequence[ReportedCell]) -> Facts:
    bundle = cells[0].record.bundle
    facts = {
        "measured as": f"cells {numbers(cells)}",
        "made from": bundle.dataset,
        "model": f"{bundle.parameters:,} parameters, keep ratio {bundle.keep_ratio:g}, weights in {bundle.precision}",
        "graph": f"form {bundle.form}, scoring {bundle.scoring}, {bundle.num_beams} beams, {bundle.items:,} items",
        "on disk": f"{bundle.bundle_bytes:,} bytes",
        "SHA-256 of manifest.json": bundle.manifest_sha256,
        **{f"SHA-256 of {name}": value for name, value in bundle.files_sha256.items()},
    }
    return Facts(f"Bundle {bundle.name}", [Fact(label=label, value=value) for label, value in facts.items()])


def conditions_table(measured: MeasuredDevice) -> Table:
    """Return what was asked of each cell, and how the device was before and after."""
    rows = [CellRow(cell, cell.details, _condition_figures(cell)) for cell in measured.cells]
    return Table(
        f"Workload and conditions on {measured.title}",
        "What was asked, and how the device was before → after",
        ["histories", "prompt tokens", "calls", "rounds", "cores busy otherwise", "temperature", "battery"],
        rows,
    )


def _condition_figures(cell: ReportedCell) -> list[TableCell]:
    work, timing, (before, after) = cell.record.workload, cell.timing, cell.record.conditions
    return [
        TableCell(f"{work.histories} {work.source}", _range(work.history_items, "items")),
        TableCell(_range(work.prompt_tokens)),
        TableCell("–") if timing is None else TableCell(f"{timing.wall.count:,}", f"after {work.warm_up_calls}"),
        TableCell("–" if timing is None else f"{len(timing.round_calls):,}"),
        TableCell("–" if timing is None else f"{timing.other_load_cores:.2f}"),
        _change(_temperature(before), _temperature(after)),
        _change(_battery(before), _battery(after)),
    ]


def _range(values: Sequence[int], unit: str = "") -> str:
    if not values:
        return _NOT_TOLD
    low, high = min(values), max(values)
    return (f"{low}" if low == high else f"{low}–{high}") + (f" {unit}" if unit else "")


def _temperature(conditions: Conditions) -> str | None:
    degrees = None if conditions.temperature_c is None else f"{conditions.temperature_c:.0f} °C"
    return ", ".join(part for part in (degrees, conditions.thermal_status) if part) or None


def _battery(conditions: Conditions) -> str | None:
    charge = None if conditions.battery_percent is None else f"{conditions.battery_percent:.0f} %"
    plugged = {True: "charging", False: "not charging", None: None}[conditions.charging]
    return ", ".join(part for part in (charge, plugged) if part) or None


def _change(before: str | None, after: str | None) -> TableCell:
    if before is None and after is None:
        return TableCell(_NOT_TOLD)
    return TableCell(f"{before or '?'} → {after or '?'}")
