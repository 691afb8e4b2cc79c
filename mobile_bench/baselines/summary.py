"""`summary.json` of the benchmark: rows, ratios, exports, and where all that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from mobile_bench.baselines.export_job import ExportFacts
from mobile_bench.baselines.rows import RATIOS, ROWS, SGEMM, RowSpec
from mobile_bench.baselines.runners import smallest_gap
from mobile_bench.baselines.worker import Lists
from mobile_bench.baselines.workload import Shape
from mobile_bench.compare import Clock, round_ratios
from mobile_bench.record import Device, Timing
from mobile_bench.statistics import median_interval

SCHEMA_VERSION = 2


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
        flops: floating-point operations of a call; 0 where not counted.
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
    flops: float
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
        sgemm_shares: operations per processor second ÷ those of large matrix products, by row (float32 rows only).
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
    sgemm_shares: dict[str, float]
    long_prompt_growth: float
    exports: dict[str, ExportFacts]
    shape: Shape
    prompt_tokens: int
    threads: int
    machine: Device
    versions: dict[str, str]
    schema_version: int = SCHEMA_VERSION


def summarize_row(spec: RowSpec, timing: Timing, lists: Mapping[str, Lists], top_k: int) -> RowSummary:
    """Return the summary of a row.

    Args:
        spec: the row.
        timing: its samples.
        lists: what every row answered, references included.
        top_k: places that are compared.
    """
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
        flops=own.flops,
        other_load_cores=timing.other_load_cores,
        cpu_ms=timing.cpu_ms,
        wall_ms=timing.wall_ms,
    )


def _overlap(own: Sequence[int], reference: Sequence[int]) -> float:
    return len(set(own) & set(reference)) / len(reference) if reference else 1.0


def _gap(scores: Sequence[float]) -> float:
    return smallest_gap(np.asarray(scores, np.float32)) if scores else 0.0


def sgemm_shares(rows: Sequence[RowSummary]) -> dict[str, float]:
    """Return how near each float32 row comes to the machine's matrix products, by operations a processor second."""
    rates = {row.name: row.flops / row.cpu_ms_p50 for row in rows if row.flops}
    exact = {spec.name for spec in ROWS if spec.exact}
    return {name: rate / rates[SGEMM] for name, rate in rates.items() if name in exact}


def long_prompt_growth(rows: Sequence[RowSummary]) -> float:
    """Return how much faster than its operations the time grows with the prompt; 1 is in step."""
    by_name = {row.name: row for row in rows}
    long, usual = by_name["graph-keep-0.5-long"], by_name["graph-keep-0.5-codes"]
    return (long.cpu_ms_p50 / usual.cpu_ms_p50) / (long.flops / usual.flops)


def ratio_intervals(timings: Sequence[Timing]) -> dict[str, RatioInterval]:
    """Return the wanted ratios of the rows' timings, paired by round."""
    by_name = {spec.name: timing for spec, timing in zip(ROWS, timings, strict=True)}
    found = {}
    for name, one, other in RATIOS:
        cpu = _ratio(by_name[one], by_name[other], "cpu")
        wall = _ratio(by_name[one], by_name[other], "wall")
        found[name] = RatioInterval(*cpu, *wall)
    return found


def _ratio(one: Timing, other: Timing, clock: Clock) -> tuple[float, float, float]:
    ratios = round_ratios(one, other, clock)
    return float(np.median(ratios)), *median_interval(ratios)
