"""Whether a timing may be quoted: enough samples, a steady median, a processor to itself."""

from __future__ import annotations

from mobile_bench.protocol import Settings
from mobile_bench.record import Timing, Validity

MOST_SPREAD = 0.10
"""Widest interval of the median, as a share of the median."""

MOST_WAITING = 1.15
"""Elapsed ÷ processor time of a single-threaded median: above it, the process waited for its turn."""


def judge(timing: Timing, settings: Settings, *, threads: int, cores: int) -> Validity:
    """Return whether a timing is valid, with a reason for each way in which it is not."""
    reasons = []
    wall = timing.wall
    if wall.count < settings.min_calls:
        reasons.append(
            f"too few samples: {wall.count} calls, {settings.min_calls} were asked for "
            f"(stopped after {settings.max_seconds:g} s)"
        )
    if len(timing.round_calls) < settings.min_rounds:
        reasons.append(f"too few rounds: {len(timing.round_calls)} of {settings.min_rounds}")
    spread = (wall.p50_high - wall.p50_low) / wall.p50
    if spread > MOST_SPREAD:
        reasons.append(
            f"too much spread: the median's interval is {spread:.0%} of it, at most {MOST_SPREAD:.0%} is steady"
        )
    if timing.other_load_cores + threads > cores + MOST_SPREAD:
        reasons.append(
            f"other load: other programs kept {timing.other_load_cores:.1f} of {cores} cores busy, "
            f"{threads} thread{'s were' if threads > 1 else ' was'} measured"
        )
    if threads == 1 and wall.p50 > MOST_WAITING * timing.cpu.p50:
        reasons.append(f"waited for the processor: {wall.p50:.1f} ms elapsed for {timing.cpu.p50:.1f} ms of work")
    return Validity(valid=not reasons, reasons=reasons)
