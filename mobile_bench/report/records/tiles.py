"""The headlines of a device: which cell is best at what."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mobile_bench.collection import ReportedCell
from mobile_bench.report.records.pareto import quality_scale
from mobile_bench.report.records.rows import mib_text, ms_text
from mobile_bench.report.tables import Tile

_MOST_NAMES = 2


def tiles(cells: Sequence[ReportedCell]) -> list[Tile]:
    """Return what is best of each figure, and which cell has it; times that are not to be quoted do not compete."""
    quotable = [cell for cell in cells if cell.record.validity.valid]
    scale = quality_scale(cells)
    with_quality = scale.cells if scale is not None and scale.kind == "ndcg" else []
    found = [
        _best("lowest p50", quotable, _median_ms, lambda cell: f"{ms_text(_median_ms(cell) or 0)} ms"),
        _best("highest NDCG@10", with_quality, lambda cell: -_ndcg(cell), lambda cell: f"{_ndcg(cell):.4f}"),
        _best("smallest on disk", cells, _size, lambda cell: f"{mib_text(_size(cell))} MiB"),
        _best("lowest peak memory", cells, _peak, lambda cell: f"{mib_text(_peak(cell))} MiB"),
    ]
    if found[0] is None and any(cell.is_timed for cell in cells):
        found[0] = Tile("–", "no p50: not one of the times is to be quoted")
    return [tile for tile in found if tile is not None]


def _best(
    words: str,
    cells: Sequence[ReportedCell],
    figure: Callable[[ReportedCell], float | None],
    text: Callable[[ReportedCell], str],
) -> Tile | None:
    """Return the cells with the least of a figure; None where no cell has it."""
    known = [(value, cell) for cell in cells if (value := figure(cell)) is not None]
    if not known:
        return None
    best = min(value for value, _ in known)
    winners = [cell for value, cell in known if value == best]
    if len(known) == 1:
        words = words.split(maxsplit=1)[1]
    return Tile(text(winners[0]), f"{words}: {_names(winners)}")


def _names(cells: Sequence[ReportedCell]) -> str:
    bundles = list(dict.fromkeys(cell.record.bundle.name for cell in cells))
    names = [cells[0].name] if len(cells) == 1 else bundles
    return " and ".join(names) if len(names) <= _MOST_NAMES else f"{names[0]} and {len(names) - 1} others"


def _median_ms(cell: ReportedCell) -> float | None:
    return None if cell.timing is None else cell.timing.wall.p50


def _ndcg(cell: ReportedCell) -> float:
    return 0.0 if cell.record.quality is None else cell.record.quality.ndcg_10


def _size(cell: ReportedCell) -> float:
    return float(cell.record.bundle.bundle_bytes)


def _peak(cell: ReportedCell) -> float:
    return float(cell.record.memory.peak_memory_bytes)
