"""Measuring begins when a phone is cool, awake enough and charged: a hot one is slow, an empty one dies."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.record import Conditions
from odllm_artifact import Progress


class GateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When measuring may begin. What a phone does not tell keeps nothing waiting.

    Attributes:
        most_temperature_c: of the hottest sensor of processor or battery.
        least_battery_percent: charge; below it, only a phone on a charger is waited for.
        cool_down_s: how long to wait at most.
        look_every_s: how often to look.
    """

    most_temperature_c: float = 42.0
    least_battery_percent: float = 20.0
    cool_down_s: float = 600.0
    look_every_s: float = 5.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            BenchError: a time below 0, or a percentage that is none.
        """
        if self.cool_down_s < 0 or self.look_every_s <= 0 or not 0 <= self.least_battery_percent <= 100:
            raise BenchError(
                f"cool_down_s is {self.cool_down_s}, look_every_s {self.look_every_s}, least_battery_percent "
                f"{self.least_battery_percent}; times from 0 and 0 to 100 % are needed"
            )


def wait_until_ready(
    look: Callable[[], Conditions],
    settings: GateSettings,
    progress: Progress,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until a device may be measured.

    Args:
        look: tells how the device is.
        settings: when it may.
        progress: told seconds of the longest wait, and what is waited for.
        clock: seconds that never jump.
        sleep: waits for seconds.

    Raises:
        DeviceError: it never got ready, with what was wrong and what to do.
    """
    started = clock()
    while (missing := not_ready(now := look(), settings)) is not None:
        waited = clock() - started
        if waited >= settings.cool_down_s or _is_hopeless(now, settings):
            raise DeviceError(f"{missing}, after {waited:.0f} s. Let the phone cool down or charge, out of its cover.")
        progress(waited, settings.cool_down_s, f"waiting: {missing}")
        sleep(settings.look_every_s)


def not_ready(now: Conditions, settings: GateSettings) -> str | None:
    """Return why measuring may not begin yet; None if it may."""
    if now.thermal_status not in (None, "none"):
        return f"the phone slows down against heat (thermal status {now.thermal_status})"
    if now.temperature_c is not None and now.temperature_c > settings.most_temperature_c:
        return f"it is {now.temperature_c:.1f} °C warm, {settings.most_temperature_c:g} at most are wanted"
    if now.battery_percent is not None and now.battery_percent < settings.least_battery_percent:
        return f"its battery is at {now.battery_percent:.0f} %, {settings.least_battery_percent:g} at least are wanted"
    return None


def _is_hopeless(now: Conditions, settings: GateSettings) -> bool:
    """Return whether waiting changes nothing: an empty battery that is not charged."""
    return (now.battery_percent or 100.0) < settings.least_battery_percent and now.charging is False
