"""Is one cell faster than another? Ratios with their interval, in one word and with what has to be known beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mobile_bench.compare import Clock, paired_ratio
from mobile_bench.errors import ComparisonError
from mobile_bench.record import Record, Timing
from mobile_bench.results import Results
from mobile_bench.statistics import CONFIDENCE, RESAMPLES, SEED

EQUAL_WITHIN = 0.05
"""Ratios closer to 1 than this are no difference that a user would notice, or another run repeat."""

MOST_DOUBT = 0.10
"""How far from 1 an interval may reach and its cells still be called equal."""

DIFFERENT_BUNDLES = "different bundles"
"""What the note about them begins with."""

Verdict = Literal["equal", "faster", "slower", "unclear"]


class Comparison(msgspec.Struct, frozen=True):
    """How much longer one cell takes than another.

    Attributes:
        one: label of the one.
        other: label of the other.
        clock: `wall` or `cpu`.
        ratio: time of the one ÷ time of the other.
        low: lower end of its 95 % bootstrap interval.
        high: upper end of it.
        paired_by: `rounds` in which the two alternated, or the `histories` that both were asked about.
        verdict: about the one.
        notes: what differs besides, in words; why a time is not to be quoted stands in its own record.
    """

    one: str
    other: str
    clock: Clock
    ratio: float
    low: float
    high: float
    paired_by: Literal["rounds", "histories"]
    verdict: Verdict
    notes: list[str]


def compare(one: Record, other: Record, clock: Clock = "wall") -> Comparison:
    """Compare the times of two cells: of one run round by round, of different runs history by history.

    Raises:
        ComparisonError: one of them was not timed, or they were asked about other histories.
    """
    if one.run == other.run:
        found = paired_ratio(one, other, clock)
        ratio, low, high = found.ratio, found.low, found.high
    else:
        _check_workload(one, other)
        ratio, low, high = _history_ratio(one.timing, other.timing, one.workload.histories, clock)
    return Comparison(
        one=one.label,
        other=other.label,
        clock=clock,
        ratio=ratio,
        low=low,
        high=high,
        paired_by="rounds" if one.run == other.run else "histories",
        verdict=judge_ratio(ratio, low, high),
        notes=_notes(one, other),
    )


def judge_ratio(ratio: float, low: float, high: float) -> Verdict:
    """Return what a ratio with its interval says; that it says nothing is a possible answer."""
    if low > 1 and ratio > 1 + EQUAL_WITHIN:
        return "slower"
    if high < 1 and ratio < 1 / (1 + EQUAL_WITHIN):
        return "faster"
    close = 1 / (1 + EQUAL_WITHIN) <= ratio <= 1 + EQUAL_WITHIN
    if close and low > 1 / (1 + MOST_DOUBT) and high < 1 + MOST_DOUBT:
        return "equal"
    return "unclear"


def compare_results(one: Results, other: Results, clock: Clock = "wall") -> list[Comparison]:
    """Compare every timed cell of one run with the cell of another that it corresponds to.

    That is the one of the same bundle's name, provider and number of threads; where both runs timed one cell only,
    these two.

    Raises:
        ComparisonError: no cell has a counterpart, or two cannot be compared.
    """
    ours, theirs = (_timed(results.records) for results in (one, other))
    if len(ours) == len(theirs) == 1:
        return [compare(ours[0], theirs[0], clock)]
    known = {record.label: record for record in theirs}
    pairs = [(record, known[record.label]) for record in ours if record.label in known]
    if not pairs:
        raise ComparisonError(
            f"no cell of the one run is in the other: {_labels(ours)} against {_labels(theirs)}. "
            "Cells correspond by bundle, provider and threads."
        )
    return [compare(record, counterpart, clock) for record, counterpart in pairs]


def compare_with_first(results: Results, clock: Clock = "wall") -> list[Comparison]:
    """Compare every timed cell with the first one that was measured side by side with it."""
    return [compare(record, first, clock) for record, first in with_first(results.records)]


def with_first(records: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Return every timed record with the first timed one of its run; those first ones are not in it."""
    first: dict[str, Record] = {}
    found = []
    for record in _timed(records):
        if record.run in first:
            found.append((record, first[record.run]))
        else:
            first[record.run] = record
    return found


def _timed(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.time_to_top_k is not None]


def _labels(records: Sequence[Record]) -> str:
    return ", ".join(record.label for record in records) or "nothing timed"


def _check_workload(one: Record, other: Record) -> None:
    ours, theirs = one.workload, other.workload
    if (ours.source, ours.history_items) != (theirs.source, theirs.history_items):
        raise ComparisonError(
            f"{one.label} and {other.label} were asked about other histories ({ours.histories} {ours.source} ones "
            f"against {theirs.histories} {theirs.source} ones), and times depend on them. Measure both in one "
            "`odllm bench`."
        )


def _history_ratio(one: Timing, other: Timing, histories: int, clock: Clock) -> tuple[float, float, float]:
    """Return the ratio of two runs' levels with its interval.

    A run's level in a round is the median of its samples, each ÷ the median of its history over both runs; so it does
    not matter which histories a round asked about. Rounds are drawn again, not calls: neighbours are alike.
    """
    samples = [np.asarray(timing.wall_ms if clock == "wall" else timing.cpu_ms) for timing in (one, other)]
    which = [np.arange(len(values)) % histories for values in samples]
    both, of = np.concatenate(samples), np.concatenate(which)
    usual = np.array([np.median(both[of == history]) for history in range(of.max() + 1)])
    ours, theirs = (
        _round_levels(values / usual[number], timing.round_calls)
        for values, number, timing in zip(samples, which, (one, other), strict=True)
    )
    random = np.random.default_rng(SEED)
    drawn = _drawn_medians(ours, random) / _drawn_medians(theirs, random)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(np.median(ours) / np.median(theirs)), float(low), float(high)


def _round_levels(samples: NDArray[np.float64], round_calls: Sequence[int]) -> NDArray[np.float64]:
    return np.array([np.median(part) for part in np.split(samples, np.cumsum(round_calls)[:-1])])


def _drawn_medians(levels: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.median(levels[random.integers(len(levels), size=(RESAMPLES, len(levels)))], axis=1))


def _notes(one: Record, other: Record) -> list[str]:
    notes = []
    if one.run != other.run:
        notes.append("measured in different runs: the interval knows nothing of what changed in between")
    if one.bundle.manifest_sha256 != other.bundle.manifest_sha256:
        notes.append(f"{DIFFERENT_BUNDLES}: {_described(one)} against {_described(other)}")
    devices = [(r.device.device_kind, r.device.model, r.device.cpu_model, r.device.cores) for r in (one, other)]
    if devices[0] != devices[1]:
        notes.append(f"different devices: {_device_name(one)} against {_device_name(other)}")
    if one.device.onnxruntime != other.device.onnxruntime:
        notes.append(f"different runtimes: onnxruntime {one.device.onnxruntime} against {other.device.onnxruntime}")
    return notes


def _device_name(record: Record) -> str:
    device = record.device
    return f"{device.cpu_model} in {device.browser}" if device.browser else device.cpu_model


def _described(record: Record) -> str:
    bundle = record.bundle
    return f"{bundle.name} ({bundle.form}, {bundle.precision}, keep {bundle.keep_ratio:.3g})"
