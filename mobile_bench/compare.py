"""Records side by side: the rows of a table, and ratios taken round by round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from mobile_bench.errors import ComparisonError
from mobile_bench.placement import CPU
from mobile_bench.record import Record, Timing
from mobile_bench.statistics import median_interval
from odllm_export.providers import find_provider

Clock = Literal["wall", "cpu"]


class Row(msgspec.Struct, frozen=True):
    """One cell in a table. Times are `None` for kinds of device whose latency means nothing.

    Attributes as in the record; `overlap` is the share of the golden items that came back.
    """

    label: str
    keep_ratio: float
    bundle_bytes: int
    wall_ms_p50: float | None
    wall_ms_p90: float | None
    cpu_ms_p50: float | None
    incremental_ms_p50: float | None
    load_cold_ms: float | None
    load_warm_ms: float | None
    peak_memory_bytes: int
    anonymous_peak_bytes: int | None
    nodes_placed: dict[str, int]
    products: int
    products_taken: int
    overlap: float | None
    ndcg_10: float | None
    valid: bool
    reasons: list[str]


class PairedRatio(msgspec.Struct, frozen=True):
    """How much longer one cell takes than another.

    Attributes:
        numerator: label of the one.
        denominator: label of the other.
        clock: `wall` or `cpu`.
        ratio: median over the rounds of (median of the one's round ÷ median of the other's).
        low: lower end of that median's 95 % bootstrap interval.
        high: upper end of it.
        rounds: pairs that it was taken from.
    """

    numerator: str
    denominator: str
    clock: Clock
    ratio: float
    low: float
    high: float
    rounds: int


def table_rows(records: Sequence[Record]) -> list[Row]:
    """Return one row a record, in their order."""
    return [_row(record) for record in records]


def paired_ratio(one: Record, other: Record, clock: Clock = "wall") -> PairedRatio:
    """Return the time of `one` ÷ the time of `other`, paired by the rounds in which they alternated.

    Raises:
        ComparisonError: they were not measured in one run, or on a device without meaningful latency.
    """
    if one.run != other.run:
        raise ComparisonError(
            f"{one.label} and {other.label} were measured in different runs; "
            "name both in one `odllm bench` to compare them side by side"
        )
    ratios = round_ratios(one.timing, other.timing, clock)
    low, high = median_interval(ratios)
    return PairedRatio(one.label, other.label, clock, float(np.median(ratios)), low, high, len(ratios))


def round_ratios(one: Timing, other: Timing, clock: Clock = "wall") -> list[float]:
    """Return for every round the ratio of the two medians.

    Raises:
        ComparisonError: the two have different rounds.
    """
    if one.round_calls != other.round_calls:
        raise ComparisonError("the two timings have different rounds, so that there are no pairs to compare")
    pairs = zip(_round_medians(one, clock), _round_medians(other, clock), strict=True)
    return [top / bottom for top, bottom in pairs]


def _round_medians(timing: Timing, clock: Clock) -> list[float]:
    samples = np.asarray(timing.wall_ms if clock == "wall" else timing.cpu_ms)
    rounds = np.split(samples, np.cumsum(timing.round_calls)[:-1])
    return [float(np.median(one)) for one in rounds]


def _row(record: Record) -> Row:
    timing, placement, agreement = record.time_to_top_k, record.execution.placement, record.agreement
    runs_on_cpu = find_provider(record.execution.provider).runtime_name == CPU
    return Row(
        label=record.label,
        keep_ratio=record.bundle.keep_ratio,
        bundle_bytes=record.bundle.bundle_bytes,
        wall_ms_p50=None if timing is None else timing.wall.p50,
        wall_ms_p90=None if timing is None else timing.wall.p90,
        cpu_ms_p50=None if timing is None else timing.cpu.p50,
        incremental_ms_p50=None if record.phases is None else record.phases.incremental.p50,
        load_cold_ms=None if timing is None else record.load.cold_ms,
        load_warm_ms=None if timing is None else float(np.median(record.load.warm_ms)),
        peak_memory_bytes=record.memory.peak_memory_bytes,
        anonymous_peak_bytes=record.memory.anonymous_peak_bytes,
        nodes_placed=placement.nodes,
        products=placement.products,
        products_taken=placement.products_on_cpu if runs_on_cpu else placement.products_taken,
        overlap=None if agreement is None else agreement.overlap,
        ndcg_10=None if record.quality is None else record.quality.ndcg_10,
        valid=record.validity.valid,
        reasons=record.validity.reasons,
    )
