"""Facts about this host, as far as it tells them."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil

from mobile_bench.record import Conditions, Device, DeviceKind

_CPUINFO = Path("/proc/cpuinfo")
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "acpitz")
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def host_device(kind: DeviceKind, version: str, build: str | None) -> Device:
    """Return what this host says about itself.

    Args:
        kind: what the provider really runs on (`mobile_bench.device_kind`).
        version: of the measuring process's onnxruntime.
        build: what that says about its build.
    """
    return Device(
        device_kind=kind,
        model=None,
        soc=None,
        cpu_model=_cpu_model(),
        cores=usable_cores(),
        max_clocks_mhz=_max_clocks_mhz(),
        memory_bytes=memory_limit_bytes(),
        os=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        onnxruntime=version,
        runtime_build=build,
        python=platform.python_version(),
        browser=None,
    )


def usable_cores() -> int:
    """Return the logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_limit_bytes() -> int:
    """Return the physical memory, or the container's limit where that is smaller."""
    limits = [psutil.virtual_memory().total]
    for path in _CGROUP_LIMITS:
        text = _read(path).strip()
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def _cpu_model() -> str:
    for line in _read(_CPUINFO).splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def host_conditions() -> Conditions:
    """Return how warm this host is and what its battery says, as far as it tells."""
    battery = _told(psutil, "sensors_battery")
    sensors = _told(psutil, "sensors_temperatures") or {}
    temperatures = [sensor.current for name, found in sensors.items() if name in _CPU_SENSORS for sensor in found]
    return Conditions(
        temperature_c=max(temperatures, default=None),
        thermal_status=None,
        battery_percent=None if battery is None else float(battery.percent),
        charging=None if battery is None else battery.power_plugged,
    )


def _max_clocks_mhz() -> list[float] | None:
    """Return every core's highest clock; `None` on virtual machines, which do not tell."""
    clocks = [float(clock.max) for clock in _told(psutil, "cpu_freq", percpu=True) or [] if clock.max]
    return clocks or None


def _told(module: Any, name: str, **options: Any) -> Any:
    """Return what a psutil function says, None where this system has no such function or it fails."""
    try:
        return getattr(module, name)(**options)
    except (AttributeError, OSError, NotImplementedError):
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
