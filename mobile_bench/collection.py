"""Records of several files and devices together: cells by device, each with a number and a name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobile_bench.errors import RecordError
from mobile_bench.record import LATENCY_KINDS, Device, Phases, Record, Timing
from mobile_bench.results import Failure, read_results

_SHOWN_HASH = 8


@dataclass(frozen=True, eq=False)
class ReportedCell:
    """A measured cell of a report.

    Attributes:
        number: from 1, over the whole report: what pictures call it.
        name: what tells it from the other cells of its device.
        details: what the name leaves out: precision, keep ratio, provider and threads.
        bundle_index: from 0, over the whole report: cells of one bundle share it.
        record: what was measured.
    """

    number: int
    name: str
    details: str
    bundle_index: int
    record: Record

    @property
    def is_timed(self) -> bool:
        """Whether it has a time, and its device is of a kind whose latency means something."""
        return self.record.time_to_top_k is not None and self.record.device.device_kind in LATENCY_KINDS

    @property
    def timing(self) -> Timing | None:
        """Its time to top-k; None where it has none that means something."""
        return self.record.time_to_top_k if self.is_timed else None

    @property
    def phases(self) -> Phases | None:
        """A call taken apart; None where its latency means nothing."""
        return self.record.phases if self.is_timed else None

    @property
    def load_ms(self) -> float | None:
        """Cold load; None where its latency means nothing."""
        return self.record.load.cold_ms if self.is_timed else None


@dataclass(frozen=True, eq=False)
class MeasuredDevice:
    """One device and what was measured on it.

    Attributes:
        title: what headings call it.
        cells: in the order of the files.
    """

    title: str
    cells: list[ReportedCell]

    @property
    def device(self) -> Device:
        """Its facts, as its first record has them."""
        return self.cells[0].record.device

    @property
    def is_stand_in(self) -> bool:
        """Whether it only stands in for another: its latency means nothing."""
        return self.device.device_kind not in LATENCY_KINDS


@dataclass(frozen=True, eq=False)
class FailedCell:
    """A cell that could not be measured, and the name of the file that says so."""

    file: str
    failure: Failure


@dataclass(frozen=True, eq=False)
class Collection:
    """Everything that a report is about.

    Attributes:
        files: names of the files of records.
        devices: with their cells, in the order of the files.
        failed: the cells of which there is only a reason.
    """

    files: list[str]
    devices: list[MeasuredDevice]
    failed: list[FailedCell]

    @property
    def cells(self) -> list[ReportedCell]:
        """All measured cells, by number."""
        return [cell for device in self.devices for cell in device.cells]

    @property
    def real_devices(self) -> list[MeasuredDevice]:
        """Those whose latency means something."""
        return [device for device in self.devices if not device.is_stand_in]

    @property
    def stand_ins(self) -> list[MeasuredDevice]:
        """Those that stand in for a device which was not there."""
        return [device for device in self.devices if device.is_stand_in]


def read_collection(paths: Sequence[Path]) -> Collection:
    """Read files of records, of one or several devices; a record that stands in two of them counts once.

    Raises:
        RecordError: a file cannot be read, is damaged or of another schema, or there is no cell in any.
    """
    records: list[Record] = []
    failed: list[FailedCell] = []
    for path in {path.absolute(): path for path in paths}.values():
        results = read_results(path)
        records += [record for record in results.records if record not in records]
        failed += [FailedCell(path.name, failure) for failure in results.failures]
    if not records and not failed:
        raise RecordError(
            f"{', '.join(map(str, paths))}: no measured and no failed cell in it. "
            "`odllm bench BUNDLE --out FILE` writes some."
        )
    return collect(records, failed, files=list(dict.fromkeys(path.name for path in paths)))


def collect(records: Sequence[Record], failed: Sequence[FailedCell] = (), files: Sequence[str] = ()) -> Collection:
    """Return records sorted by device, with numbers and names."""
    by_device: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        by_device.setdefault(_identity(record.device), []).append(record)
    bundles = list(dict.fromkeys(record.bundle.manifest_sha256 for record in records))
    titles = _apart([_title(group[0].device) for group in by_device.values()])
    devices, number = [], 0
    for title, group in zip(titles, by_device.values(), strict=True):
        cells = []
        for (name, details), record in zip(_names(group), group, strict=True):
            number += 1
            cells.append(ReportedCell(number, name, details, bundles.index(record.bundle.manifest_sha256), record))
        devices.append(MeasuredDevice(title, cells))
    return Collection(list(files), devices, list(failed))


def _identity(device: Device) -> tuple[object, ...]:
    """Return what makes two records' devices the same; the runtime's version is none of it."""
    return (
        device.device_kind,
        device.model,
        device.soc,
        device.cpu_model,
        device.cores,
        device.os,
        device.architecture,
    )


def _title(device: Device) -> str:
    name = device.model or device.cpu_model
    soc = [device.soc] if device.soc and device.soc not in name else []
    parts = [name, *soc, f"{device.cores} core{'s' * (device.cores > 1)}"]
    return ", ".join(parts) + ("" if device.device_kind == "host" else f" ({device.device_kind})")


def _names(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return names and details: what all cells of a device share is a detail, what tells them apart is in the name."""
    names = [record.bundle.name for record in records]
    details = [f"{record.bundle.precision}, keep {record.bundle.keep_ratio:.3g}" for record in records]
    for fact in (_provider, _threads):
        facts = [fact(record) for record in records]
        if len(set(facts)) > 1:
            names = [f"{name} · {fact}" for name, fact in zip(names, facts, strict=True)]
        else:
            details = [f"{known}, {fact}" for known, fact in zip(details, facts, strict=True)]
    for fact in (_hash, _minute, _run):
        names = _told_apart(names, [fact(record) for record in records])
    return list(zip(_apart(names), details, strict=True))


def _provider(record: Record) -> str:
    return record.execution.provider


def _threads(record: Record) -> str:
    return f"{record.execution.threads} thread{'s' * (record.execution.threads > 1)}"


def _hash(record: Record) -> str:
    return record.bundle.manifest_sha256[:_SHOWN_HASH]


def _minute(record: Record) -> str:
    return record.measured_at.replace("T", " ")[:16]


def _run(record: Record) -> str:
    return f"run {record.run[:_SHOWN_HASH]}"


def _told_apart(names: Sequence[str], facts: Sequence[str]) -> list[str]:
    """Return names, equal ones with a fact behind them wherever it differs among those."""
    different: dict[str, set[str]] = {}
    for name, fact in zip(names, facts, strict=True):
        different.setdefault(name, set()).add(fact)
    return [f"{name} · {fact}" if len(different[name]) > 1 else name for name, fact in zip(names, facts, strict=True)]


def _apart(names: Iterable[str]) -> list[str]:
    """Return names, the second and further of equal ones with a number."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
