"""What a phone tells of its energy: counters of its power rails, else the gauge of its battery."""

from __future__ import annotations

import re

from mobile_bench.errors import DeviceError
from mobile_bench.phone.adb import AdbDevice
from mobile_bench.power import CounterMeter, GaugeMeter, Meter
from mobile_bench.record import Conditions

_RAILS = "dumpsys android.hardware.power.stats.IPowerStats/default"
_RAILS_HEADER = "energy meter ="
_RAIL = re.compile(r"^\s*(?P<name>\[?\S+)\s+(?P<mws>[\d.]+) mWs", re.MULTILINE)
_COMPUTING = re.compile(r"CPU|GPU|G3D|TPU|NPU|MIF|DDR|MEM|INT\b", re.IGNORECASE)
"""Rails of what computes and of its memory; screen, radios and cameras have others."""
_RAIL_RESOLUTION_J = 0.01

_GAUGE = "cat /sys/class/power_supply/battery/current_now /sys/class/power_supply/battery/voltage_now"
_MICRO = 1e-6
_MILLI = 1e-3
_LEAST_MICROAMPERES = 10_000
"""Below it, a current is in mA (Samsung): no phone that is awake lives on 10 mA."""


def phone_meter(device: AdbDevice, now: Conditions) -> Meter | None:
    """Return the best meter that a phone offers at this moment; None without one.

    On a charger the battery's gauge shows what the charger brings: only rails count then.

    Raises:
        DeviceError: the phone is gone.
    """
    if parse_rails(device.told(_RAILS)) is not None:
        return CounterMeter("power-rails", lambda: _rails_joules(device), _RAIL_RESOLUTION_J)
    if now.charging or parse_gauge(device.told(_GAUGE)) is None:
        return None
    return GaugeMeter("fuel-gauge", lambda: _gauge_watts(device))


def parse_rails(text: str) -> float | None:
    """Return the joules of the rails of what computes, from the dump of the power-statistics service; None without any.

    Source: Android, hardware/interfaces/power/stats/aidl/default/PowerStats.cpp, `dumpEnergyMeter`.
    """
    _, header, rest = text.partition(_RAILS_HEADER)
    meter, _, _ = rest.partition("End of PowerStats")
    rails = [float(found["mws"]) for found in _RAIL.finditer(meter) if _COMPUTING.search(found["name"])]
    return sum(rails) * _MILLI if header and rails else None


def parse_gauge(text: str) -> float | None:
    """Return the watts of `current_now` and `voltage_now`, one a line; None where either is missing or 0.

    The sign of the current is the maker's choice, its unit is µA as Android's health interface wants it, or mA.
    """
    numbers = [int(word) for word in text.split() if word.lstrip("-").isdecimal()]
    if len(numbers) != 2 or 0 in numbers:
        return None
    current, voltage = abs(numbers[0]), numbers[1]
    return current * (_MICRO if current >= _LEAST_MICROAMPERES else _MILLI) * voltage * _MICRO


def _rails_joules(device: AdbDevice) -> float:
    joules = parse_rails(device.told(_RAILS))
    if joules is None:
        raise DeviceError(f"{device.serial} does not tell its power rails any more")
    return joules


def _gauge_watts(device: AdbDevice) -> float:
    watts = parse_gauge(device.told(_GAUGE))
    if watts is None:
        raise DeviceError(f"{device.serial} does not tell its battery's current any more")
    return watts
