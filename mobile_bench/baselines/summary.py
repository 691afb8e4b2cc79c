"""`summary.json` of the benchmark: rows, ratios, exports, and where all that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from mobile_bench.baselines.export_job import ExportFacts
from mobile_bench.baselines.flops import Work
from mobile_bench.baselines.roofline import Peaks, Roofline, rate, roofline
from mobile_bench.baselines.rows import INTEGER_PRODUCTS, MEMORY, RATIOS, SGEMM, RowSpec
from mobile_bench.baselines.runners import smallest_gap
from mobile_bench.baselines.worker import Lists
from mobile_bench.baselines.workload import Shape
from mobile_bench.compare import Clock, round_ratios
from mobile_bench.errors import BenchError
from mobile_bench.record import Device, Timing
from mobile_bench.statistics import median_interval

SCHEMA_VERSION = 3


class RowSummary(msgspec.Struct, frozen=True):
    """One row.

    Attributes:
        name: of the row.
        cpu_ms_p50: median processor time of one recommendation, all threads of the process.
        wall_ms_p50: median elapsed time of one recommendation.
        peak_memory_bytes: the most that was resident at once in the row's process, loading included.
        identical_lists: histories on which its top-k items equal the reference's, place by place.
        mean_overlap: share of the reference's top-k items among its own.
        histories: compared.
        reference: the row that it is compared with.
        max_score_difference: over all places of the lists that are identical.
        smallest_score_gap: between neighbours of its own lists: far above rounding, or order would mean nothing.
        roofline: what a call computes and moves beside its time and the machine's limits; None for rows that measure
            those.
        other_load_cores: processors that other programs kept busy meanwhile, mean.
        cpu_ms: raw samples.
        wall_ms: raw samples.
    """

    name: str
    cpu_ms_p50: float
    wall_ms_p50: float
    peak_memory_bytes: int
    identical_lists: int
    mean_overlap: float
    histories: int
    reference: str
    max_score_difference: float
    smallest_score_gap: float
    roofline: Roofline | None
    other_load_cores: float | None
    cpu_ms: list[float]
    wall_ms: list[float]


class RatioInterval(msgspec.Struct, frozen=True):
    """A median of pairwise ratios with the 95 % bootstrap interval of it, for both clocks."""

    cpu: float
    cpu_low: float
    cpu_high: float
    wall: float
    wall_low: float
    wall_high: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """`summary.json`.

    Attributes:
        rows: in the order of the table.
        ratios: of processor times, median over the rounds; above 1: the first takes longer.
        ratio_intervals: the same with intervals, for processor and elapsed time.
        peaks: of the machine, in this run.
        skipped: rows that were left out, and why.
        long_prompt_growth: time of the long prompt ÷ time of the usual one, over the same ratio of operations.
        exports: time and memory of each bundle's export, by its name.
        shape: of model, catalogue and prompt.
        prompt_tokens: of every prompt.
        threads: of every row.
        machine: where it was measured.
        versions: of the libraries that were measured.
        schema_version: of this file.
    """

    rows: list[RowSummary]
    ratios: dict[str, float]
    ratio_intervals: dict[str, RatioInterval]
    peaks: Peaks
    skipped: dict[str, str]
    long_prompt_growth: float
    exports: dict[str, ExportFacts]
    shape: Shape
    prompt_tokens: int
    threads: int
    machine: Device
    versions: dict[str, str]
    schema_version: int = SCHEMA_VERSION


class Measured(msgspec.Struct, frozen=True):
    """What was measured of a row that ran.

    Attributes:
        spec: the row.
        timing: its samples.
        work: what a call computes and moves.
    """

    spec: RowSpec
    timing: Timing
    work: Work


def machine_peaks(measured: Sequence[Measured]) -> Peaks:
    """Return the machine's peaks out of the rows that measure them."""
    rates = {one.spec.name: rate(one.work, one.timing.cpu.p50) for one in measured}
    return Peaks(rates[SGEMM][0], rates[INTEGER_PRODUCTS][0], rates[MEMORY][1])


def summarize_row(measured: Measured, peaks: Peaks, lists: Mapping[str, Lists], top_k: int) -> RowSummary:
    """Return the summary of a row.

    Args:
        measured: of it.
        peaks: of the machine.
        lists: what every row answered, references included.
        top_k: places that are compared.
    """
    spec, timing = measured.spec, measured.timing
    own = lists[spec.name]
    reference = lists[spec.reference] if spec.reference else own
    pairs = list(zip(own.rows, reference.rows, own.scores, reference.scores, strict=True))
    same = [(ours, theirs) for one, other, ours, theirs in pairs if one[:top_k] == other[:top_k]]
    differences = [np.abs(np.subtract(ours[:top_k], theirs[:top_k])).max(initial=0.0) for ours, theirs in same]
    return RowSummary(
        name=spec.name,
        cpu_ms_p50=timing.cpu.p50,
        wall_ms_p50=timing.wall.p50,
        peak_memory_bytes=own.peak_memory_bytes,
        identical_lists=len(same),
        mean_overlap=float(np.mean([_overlap(one[:top_k], other[:top_k]) for one, other, _, _ in pairs])),
        histories=len(pairs),
        reference=spec.reference,
        max_score_difference=float(max(differences, default=np.nan)) if differences else 0.0,
        smallest_score_gap=min(_gap(scores[:top_k]) for scores in own.scores),
        roofline=roofline(measured.work, timing.cpu.p50, peaks) if spec.reference else None,
        other_load_cores=timing.other_load_cores,
        cpu_ms=timing.cpu_ms,
        wall_ms=timing.wall_ms,
    )


def _overlap(own: Sequence[int], reference: Sequence[int]) -> float:
    return len(set(own) & set(reference)) / len(reference) if reference else 1.0


def _gap(scores: Sequence[float]) -> float:
    return smallest_gap(np.asarray(scores, np.float32)) if scores else 0.0


def long_prompt_growth(rows: Sequence[RowSummary]) -> float:
    """Return how much faster than its operations the time grows with the prompt; 1 is in step."""
    by_name = {row.name: row for row in rows}
    long, usual = by_name["graph-keep-0.5-long"], by_name["graph-keep-0.5-codes"]
    if long.roofline is None or usual.roofline is None:
        raise BenchError("the rows of the long and the usual prompt have no count of operations")
    return (long.cpu_ms_p50 / usual.cpu_ms_p50) / (long.roofline.gflop / usual.roofline.gflop)


def ratio_intervals(measured: Sequence[Measured]) -> dict[str, RatioInterval]:
    """Return the wanted ratios of the rows that ran, paired by round."""
    by_name = {one.spec.name: one.timing for one in measured}
    found = {}
    for name, one, other in RATIOS:
        if one in by_name and other in by_name:
            cpu = _ratio(by_name[one], by_name[other], "cpu")
            wall = _ratio(by_name[one], by_name[other], "wall")
            found[name] = RatioInterval(*cpu, *wall)
    return found


def _ratio(one: Timing, other: Timing, clock: Clock) -> tuple[float, float, float]:
    ratios = round_ratios(one, other, clock)
    return float(np.median(ratios)), *median_interval(ratios)
