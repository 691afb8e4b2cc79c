"""Facts about this host, as far as it tells them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import onnxruntime
import psutil

from mobile_bench.record import Device

_CPUINFO = Path("/proc/cpuinfo")
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def host_device() -> Device:
    """Return what this host says about itself."""
    return Device(
        device_kind="host",
        cpu_model=_cpu_model(),
        cores=usable_cores(),
        max_clock_mhz=_max_clock_mhz(),
        memory_bytes=memory_limit_bytes(),
        os=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        onnxruntime=onnxruntime.__version__,
        python=platform.python_version(),
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


def _max_clock_mhz() -> float | None:
    """Return the fastest core's highest clock; `None` on virtual machines, which do not tell."""
    try:
        clocks = [clock.max for clock in psutil.cpu_freq(percpu=True) if clock.max]
    except (OSError, NotImplementedError, AttributeError):
        return None
    return float(max(clocks)) if clocks else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
