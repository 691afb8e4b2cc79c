"""The tables of the page: a row a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobile_bench.collection import MeasuredDevice, ReportedCell
from mobile_bench.record import Distribution, Record
from mobile_bench.report.content import Measure
from mobile_bench.report.records.rows import mib_text, ms_text
from mobile_bench.report.tables import TableCell, measure_cell

_NONE = TableCell("–")


@dataclass(frozen=True)
class CellRow:
    """One cell: what it is, and its figures."""

    cell: ReportedCell
    small: str
    figures: list[TableCell]


@dataclass(frozen=True)
class Table:
    """A table of cells.

    Attributes:
        label: short, for those who hear the page.
        caption: above it.
        columns: titles of the figures.
        rows: one a cell.
    """

    label: str
    caption: str
    columns: list[str]
    rows: list[CellRow]


def device_table(measured: MeasuredDevice) -> Table:
    """Return the cells of a device with everything that decides between them."""
    return Table(
        f"Cells on {measured.title}",
        device_words(measured),
        ["p50 ms", "p90 ms", "one new item ms", "load ms", "peak MiB", "disk MiB", "NDCG@10", "lists"],
        [CellRow(cell, cell.details, _device_figures(cell)) for cell in measured.cells],
    )


def device_words(measured: MeasuredDevice) -> str:
    """Return where it was measured, in a line."""
    device = measured.device
    runtimes = list(dict.fromkeys(cell.record.device.onnxruntime for cell in measured.cells))
    return f"{device.device_kind}: {device.os}, {device.architecture}, onnxruntime {', '.join(runtimes)}"


def _device_figures(cell: ReportedCell) -> list[TableCell]:
    record, timing, phases = cell.record, cell.timing, cell.phases
    return [
        _NONE if timing is None else median_cell(timing.wall),
        _NONE if timing is None else TableCell(ms_text(timing.wall.p90)),
        _NONE if phases is None else median_cell(phases.incremental),
        _NONE if cell.load_ms is None else TableCell(ms_text(cell.load_ms), record.load.page_cache),
        _memory_cell(record),
        TableCell(mib_text(record.bundle.bundle_bytes)),
        ndcg_cell(record),
        lists_cell(record),
    ]


def median_cell(found: Distribution) -> TableCell:
    """Return a median with its interval; differences can be below 0."""
    between = "–" if found.p50_low >= 0 else " to "
    return TableCell(ms_text(found.p50), f"{ms_text(found.p50_low)}{between}{ms_text(found.p50_high)}")


def ndcg_cell(record: Record) -> TableCell:
    """Return NDCG@10 with its interval, where it was measured."""
    found = record.quality
    if found is None:
        return _NONE
    return measure_cell(Measure(value=found.ndcg_10, low=found.ndcg_10_low, high=found.ndcg_10_high))


def lists_cell(record: Record) -> TableCell:
    """Return how much of the golden lists came back."""
    found = record.agreement
    if found is None:
        return _NONE
    return TableCell(f"{100 * found.overlap:.1f} %", f"{found.equal_lists} of {found.cases} equal")


def _memory_cell(record: Record) -> TableCell:
    memory = record.memory
    parts = [memory.anonymous_peak_bytes, memory.file_backed_peak_bytes]
    small = "" if parts == [None, None] else " + ".join("?" if part is None else mib_text(part) for part in parts)
    return TableCell(mib_text(memory.peak_memory_bytes), small)


def stand_in_table(stand_ins: Sequence[MeasuredDevice]) -> Table:
    """Return placement and lists of the cells on stand-ins; no time."""
    return Table(
        "Cells on stand-ins",
        "Placement and lists; time and memory of a stand-in say nothing about what it stands in for",
        ["runs on", "matrix products taken", "nodes", "lists", "largest score difference", "NDCG@10"],
        [
            CellRow(
                cell,
                cell.details,
                [TableCell(one.device.device_kind, one.device.cpu_model), *_placed(cell.record), *_lists(cell.record)],
            )
            for one in stand_ins
            for cell in one.cells
        ],
    )


def _lists(record: Record) -> list[TableCell]:
    found = record.agreement
    difference = _NONE if found is None else TableCell(f"{found.score_difference:.1e}")
    return [lists_cell(record), difference, ndcg_cell(record)]


def placement_table(measured: MeasuredDevice) -> Table:
    """Return where the nodes of each cell ran."""
    return Table(
        f"Placement on {measured.title}",
        "From the runtime's profile of one call",
        ["matrix products taken", "nodes by provider"],
        [CellRow(cell, cell.details, _placed(cell.record)) for cell in measured.cells],
    )


def _placed(record: Record) -> list[TableCell]:
    placement = record.execution.placement
    on_cpu = record.execution.provider == "cpu"
    taken = placement.products_on_cpu if on_cpu else placement.products_taken
    left = "" if on_cpu else f"{placement.products_on_cpu} left to the CPU"
    nodes = [f"{name.removesuffix('ExecutionProvider')} {count}" for name, count in placement.nodes.items()]
    return [TableCell(f"{taken} of {placement.products}", left), TableCell(", ".join(nodes))]


def phases_table(measured: MeasuredDevice) -> Table:
    """Return the parts of a call, with intervals."""
    found = [(cell, cell.phases) for cell in measured.cells if cell.phases is not None]
    return Table(
        f"Parts of a call on {measured.title}",
        "Medians in ms, below them their 95 % intervals; a pass of its own, so not quite the times above",
        ["whole call", "prompt (prefill)", "a step of the search", "one new item", "nothing new"],
        [
            CellRow(
                cell,
                cell.details,
                [median_cell(one) for one in (p.whole, p.prefill, p.per_step, p.incremental, p.repeated)],
            )
            for cell, p in found
        ],
    )


def memory_table(measured: MeasuredDevice) -> Table:
    """Return what each cell took of memory and of the disk."""
    rows = []
    for cell in measured.cells:
        memory = cell.record.memory
        sizes = [
            memory.before_open_bytes,
            memory.peak_memory_bytes,
            memory.peak_memory_bytes - memory.before_open_bytes,
            memory.anonymous_peak_bytes,
            memory.file_backed_peak_bytes,
            cell.record.bundle.bundle_bytes,
        ]
        figures = [_NONE if size is None else TableCell(mib_text(size)) for size in sizes]
        rows.append(CellRow(cell, cell.details, figures))
    columns = ["before open", "peak", "peak − before", "anonymous peak", "file-backed peak", "on disk"]
    return Table(f"Memory on {measured.title}", "MiB; a pass of its own, never timed", columns, rows)
