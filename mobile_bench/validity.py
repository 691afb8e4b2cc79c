"""Whether figures may be quoted: the right lists, enough samples, little spread, a processor to itself."""

from __future__ import annotations

import numpy as np

from mobile_bench.protocol import Settings
from mobile_bench.record import Conditions, Timing, Validity
from mobile_bench.statistics import relative_to_history
from odllm_export.agreement import Agreement

MOST_SPREAD = 0.20
"""Widest middle half of the samples, each divided by the median of its history."""

MOST_WAITING = 1.15
"""Elapsed ÷ processor time of a single-threaded median: above it, the process waited for its turn."""

LEAST_OVERLAP = 0.9
"""Share of the golden items that must come back whatever a provider rounds: below it, it ran another model."""

_NEGLIGIBLE_CORES = 0.1
_COOL = ("none", "light")


def judge(
    timing: Timing | None,
    agreement: Agreement | None,
    settings: Settings,
    *,
    histories: int,
    threads: int,
    cores: int,
    restarts: int = 0,
    after: Conditions | None = None,
) -> Validity:
    """Return whether a cell's figures may be quoted, with a reason for each way in which they may not.

    Args:
        timing: of the cell; None where latency means nothing.
        agreement: with the golden lists; None without any.
        settings: what was asked for.
        histories: asked in turn; sample i is about history i mod `histories`.
        threads: of the cell.
        cores: of the machine.
        restarts: how often its process died, or its clock jumped, on the way.
        after: how the device was when the timing had ended.
    """
    reasons = [] if agreement is None else _list_reasons(agreement)
    if restarts:
        reasons.append("the measuring process died on the way, or its clock jumped, and it was started again")
    if timing is not None and after is not None and after.thermal_status not in (None, *_COOL):
        reasons.append(f"the device slowed down against heat: thermal status {after.thermal_status} at the end")
    if timing is not None:
        reasons += _timing_reasons(timing, settings, histories=histories, threads=threads, cores=cores)
    return Validity(valid=not reasons, reasons=reasons)


def _list_reasons(agreement: Agreement) -> list[str]:
    least = min(agreement.min_overlap, LEAST_OVERLAP)
    if agreement.overlap >= least:
        return []
    return [
        f"other lists: {agreement.overlap:.1%} of the golden items came back, at least {least:.0%} must "
        f"({agreement.equal_lists} of {agreement.cases} lists are equal)"
    ]


def _timing_reasons(timing: Timing, settings: Settings, *, histories: int, threads: int, cores: int) -> list[str]:
    wall, reasons = timing.wall, []
    if wall.count < settings.min_calls:
        reasons.append(
            f"too few samples: {wall.count} calls, {settings.min_calls} were asked for "
            f"(stopped after {settings.max_seconds:g} s)"
        )
    if len(timing.round_calls) < settings.min_rounds:
        reasons.append(f"too few rounds: {len(timing.round_calls)} of {settings.min_rounds}")
    spread = relative_spread(timing.wall_ms, histories)
    if spread > MOST_SPREAD:
        reasons.append(
            f"too much spread: the middle half of the samples is {spread:.0%} of the median wide, "
            f"at most {MOST_SPREAD:.0%} is steady"
        )
    others = timing.other_load_cores
    if others is not None and others + threads > cores + _NEGLIGIBLE_CORES:
        reasons.append(
            f"other load: other programs kept {others:.1f} of {cores} cores busy, "
            f"{threads} thread{'s were' if threads > 1 else ' was'} measured"
        )
    if threads == 1 and wall.p50 > MOST_WAITING * timing.cpu.p50:
        reasons.append(f"waited for the processor: {wall.p50:.1f} ms elapsed for {timing.cpu.p50:.1f} ms of work")
    return reasons


def relative_spread(samples_ms: list[float], histories: int) -> float:
    """Return the interquartile range of samples, each divided by the median of its history."""
    low, high = np.percentile(relative_to_history(samples_ms, histories), [25, 75])
    return float(high - low)
