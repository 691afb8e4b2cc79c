"""Records in, one HTML page out: what to choose, why, and where the figures come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from mobile_bench.collection import Collection, MeasuredDevice, ReportedCell
from mobile_bench.report.html_file import render
from mobile_bench.report.marks import colour
from mobile_bench.report.records import tables
from mobile_bench.report.records.bars import call_taken_apart, memory_peaks
from mobile_bench.report.records.pareto import (
    Point,
    QualityScale,
    pareto_front,
    points_by_size,
    points_by_time,
    quality_scale,
)
from mobile_bench.report.records.provenance import conditions_table, dates, numbers, provenance
from mobile_bench.report.records.scatter import scatter
from mobile_bench.report.records.side_by_side import Pair, pairs, ratios
from mobile_bench.report.records.tiles import tiles
from mobile_bench.report.records.times import course, time_distributions
from mobile_bench.report.tables import Tile
from odllm_artifact import write_text

_MIB = 2**20


@dataclass(frozen=True)
class Tradeoff:
    """Quality against one cost.

    Attributes:
        title: of the figure.
        picture: of all points.
        front: those that no other beats, cheapest first.
        beaten: the others.
    """

    title: str
    picture: Markup
    front: list[Point]
    beaten: list[Point]


@dataclass(frozen=True)
class DeviceSection:
    """What the page shows of one device.

    Attributes:
        name: for the page's own links.
        measured: the device and its cells.
        tiles: headlines.
        table: of all cells.
        quality: what quality means here; None where nothing of it was measured.
        tradeoffs: quality against time and size.
        times: of every call; None where nothing was timed.
        course: of the run; None where nothing was timed.
        pairs: cells against the first of their run.
        ratios: the same as a picture; None where there is no ratio.
        phases: a call taken apart; None where none was.
        phases_table: the same in figures.
        memory: as a picture.
        memory_table: the same in figures.
        placement: where nodes ran.
        conditions: what was asked, and how the device was.
    """

    name: str
    measured: MeasuredDevice
    tiles: list[Tile]
    table: tables.Table
    quality: QualityScale | None
    tradeoffs: list[Tradeoff]
    times: Markup | None
    course: Markup | None
    pairs: list[Pair]
    ratios: Markup | None
    phases: Markup | None
    phases_table: tables.Table
    memory: Markup
    memory_table: tables.Table
    placement: tables.Table
    conditions: tables.Table

    @property
    def untimed(self) -> list[ReportedCell]:
        """Cells without a time, although one would mean something here."""
        return [cell for cell in self.measured.cells if not cell.is_timed]


def render_records(collection: Collection, title: str | None = None) -> str:
    """Return one HTML page about measured cells that needs no network."""
    sections = [device_section(number, one) for number, one in enumerate(collection.real_devices, start=1)]
    return render(
        "records.html.jinja",
        title=title or _title(collection),
        lead=_lead(collection),
        collection=collection,
        sections=sections,
        stand_ins=tables.stand_in_table(collection.stand_ins) if collection.stand_ins else None,
        provenance=provenance(collection),
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        colour=colour,
        numbers=numbers,
    )


def write_records(collection: Collection, path: Path, title: str | None = None) -> None:
    """Write that page as one file; an older one is replaced in one step, its folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_records(collection, title))


def device_section(number: int, measured: MeasuredDevice) -> DeviceSection:
    """Return what the page shows of one device; `number` tells its pictures from other devices'."""
    cells, name = measured.cells, f"device-{number}"
    timed, taken_apart = any(cell.is_timed for cell in cells), any(cell.phases for cell in cells)
    quality, found = quality_scale(cells), pairs(cells)
    return DeviceSection(
        name=name,
        measured=measured,
        tiles=tiles(cells),
        table=tables.device_table(measured),
        quality=quality,
        tradeoffs=tradeoffs(name, quality) if quality else [],
        times=time_distributions(f"{name}-times", cells) if timed else None,
        course=course(f"{name}-course", cells) if timed else None,
        pairs=found,
        ratios=ratios(f"{name}-ratios", found) if any(pair.comparison for pair in found) else None,
        phases=call_taken_apart(f"{name}-phases", cells) if taken_apart else None,
        phases_table=tables.phases_table(measured),
        memory=memory_peaks(f"{name}-memory", cells),
        memory_table=tables.memory_table(measured),
        placement=tables.placement_table(measured),
        conditions=conditions_table(measured),
    )


def tradeoffs(name: str, quality: QualityScale) -> list[Tradeoff]:
    """Return quality against time and against size, each where there are two cells to choose from."""
    found = []
    for cost, points, title, axis, unit in (
        ("time", points_by_time(quality), "Quality against time", "ms to top-k, median", 1.0),
        ("size", points_by_size(quality), "Quality against size", "MiB on disk", float(_MIB)),
    ):
        if len(points) > 1:
            front = pareto_front(points)
            picture = scatter(f"{name}-{cost}", title, points, front, quality=quality.title, cost=axis, unit=unit)
            found.append(Tradeoff(title, picture, front, [point for point in points if point not in front]))
    return found


def _title(collection: Collection) -> str:
    names = list(dict.fromkeys(cell.record.bundle.dataset for cell in collection.cells))
    return f"{', '.join(names)}: measured on the device" if names else "Nothing could be measured"


def _lead(collection: Collection) -> str:
    cells, failed = collection.cells, len(collection.failed)
    bundles = len({cell.record.bundle.manifest_sha256 for cell in cells})
    parts = []
    if cells:
        counts = [(bundles, "bundle"), (len(cells), "measured cell"), (len(collection.devices), "device")]
        parts.append(f"{_counted(counts)}, {dates(cells)}")
    if failed:
        parts.append(f"{failed} cell{'s' * (failed > 1)} failed")
    return "; ".join(parts) + ". A cell is one bundle with one provider and one number of threads on one device."


def _counted(counts: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{count} {what}{'s' * (count > 1)}" for count, what in counts)
