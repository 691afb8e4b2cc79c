"""What a phone says about itself and its state, each fact optional, parsed from what Android's own commands print."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mobile_bench.phone.adb import AdbDevice
from mobile_bench.phone.runner_build import LINUX_ARM64
from mobile_bench.protocol import InspectReply
from mobile_bench.record import Conditions, Device, DeviceKind

THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Android's names of `Thermal Status: 0 … 6`. Source: android.os.PowerManager.THERMAL_STATUS_*."""

_PROPERTY = re.compile(r"^\[(?P<name>[^\]]+)\]: \[(?P<value>.*)\]$", re.MULTILINE)
_TEMPERATURE = re.compile(r"mValue=(?P<value>-?[\d.]+), mType=(?P<type>\d+)")
_JUDGED_SENSORS = ("0", "2")
"""Android's types of the sensors that are looked at: processor and battery."""
_ZONES = re.compile(r"cpu|soc|big|little|mid|tsens|battery", re.IGNORECASE)
_PLAUSIBLE_C = (1.0, 150.0)
"""Sensors that are off say 0, -40 or 999."""

_CHARGING = "2"
"""BatteryManager.BATTERY_STATUS_CHARGING."""
_FULL = "5"

_ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd4d": "Cortex-A715",
    "0xd4e": "Cortex-X3",
    "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
    "0xd82": "Cortex-X4",
    "0xd85": "Cortex-X925",
    "0xd87": "Cortex-A725",
}
"""Arm's own cores by part number. Source: Linux, arch/arm64/include/asm/cputype.h."""


@dataclass(frozen=True)
class PhoneFacts:
    """What a phone says about itself.

    Attributes:
        serial: by which adb knows it.
        properties: of `getprop`.
        cpu_model: its kinds of core, or what it calls its processor.
        cores: logical processors of a process.
        max_clocks_mhz: highest clock of every core; None if it does not tell.
        memory_bytes: physical memory.
    """

    serial: str
    properties: Mapping[str, str]
    cpu_model: str
    cores: int
    max_clocks_mhz: list[float] | None
    memory_bytes: int

    @property
    def abi(self) -> str:
        """The ABI that its programs are built for."""
        return self.properties.get("ro.product.cpu.abi", "")

    @property
    def kind(self) -> DeviceKind:
        """`phone`, or what stands in for one where it says that it is emulated."""
        emulated = any(self.properties.get(name) == "1" for name in ("ro.kernel.qemu", "ro.boot.qemu"))
        if not emulated:
            return "phone"
        return "emulated-arm64" if self.abi in ("arm64-v8a", LINUX_ARM64) else "emulator"

    @property
    def model(self) -> str | None:
        """Maker and model, as the maker names it."""
        words = (self.properties.get(f"ro.product.{name}", "") for name in ("manufacturer", "model"))
        return " ".join(filter(None, words)) or None

    @property
    def os(self) -> str:
        """Name and release of the system."""
        release, sdk = (self.properties.get(f"ro.build.version.{name}", "") for name in ("release", "sdk"))
        return f"Android {release} (SDK {sdk})" if release else "Linux"

    def device(self, inspected: InspectReply) -> Device:
        """Return what records say about it."""
        soc = (self.properties.get(f"ro.soc.{name}", "") for name in ("manufacturer", "model"))
        return Device(
            device_kind=self.kind,
            model=self.model,
            soc=" ".join(filter(None, soc)) or self.properties.get("ro.board.platform"),
            cpu_model=self.cpu_model,
            cores=self.cores,
            max_clocks_mhz=self.max_clocks_mhz,
            memory_bytes=self.memory_bytes,
            os=self.os,
            architecture=self.abi,
            onnxruntime=inspected.onnxruntime,
            runtime_build=inspected.runtime_build,
            python=None,
            browser=None,
        )


def read_facts(device: AdbDevice) -> PhoneFacts:
    """Ask a phone about itself.

    Raises:
        DeviceError: it is gone.
    """
    properties = parse_properties(device.told("getprop"))
    clocks = device.told("cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq").split()
    cpuinfo, cores = device.told("cat /proc/cpuinfo"), device.told("nproc").strip()
    memory = re.search(r"MemTotal:\s+(\d+) kB", device.told("cat /proc/meminfo"))
    return PhoneFacts(
        serial=device.serial,
        properties=properties,
        cpu_model=parse_cpu_model(cpuinfo) or properties.get("ro.board.platform", "unknown"),
        cores=int(cores) if cores.isdecimal() else max(1, cpuinfo.count("processor\t:")),
        max_clocks_mhz=[int(clock) / 1000 for clock in clocks if clock.isdecimal()] or None,
        memory_bytes=int(memory[1]) * 1024 if memory else 0,
    )


def read_conditions(device: AdbDevice) -> Conditions:
    """Ask a phone how it is at this moment.

    Raises:
        DeviceError: it is gone.
    """
    battery = parse_fields(device.told("dumpsys battery"))
    thermal = device.told("dumpsys thermalservice")
    zones = device.told(
        'for zone in /sys/class/thermal/thermal_zone*; do echo "$(cat $zone/type) $(cat $zone/temp)"; done'
    )
    celsius = [*_battery_celsius(battery), *parse_temperatures(thermal), *parse_zones(zones)]
    status = re.search(r"Thermal Status: (\d)", thermal)
    level, charge = battery.get("level", ""), battery.get("status")
    return Conditions(
        temperature_c=max(filter(_is_plausible, celsius), default=None),
        thermal_status=THERMAL_STATUS[int(status[1])] if status and int(status[1]) < len(THERMAL_STATUS) else None,
        battery_percent=float(level) if level.isdecimal() else None,
        charging=None if charge is None else charge in (_CHARGING, _FULL),
    )


def screen_warning(device: AdbDevice) -> str | None:
    """Return why the screen's state may slow a measurement, if it does: a sleeping phone runs on its small cores.

    Raises:
        DeviceError: the device is gone.
    """
    awake = re.search(r"mWakefulness=(\w+)", device.told("dumpsys power"))
    if awake and awake[1] != "Awake":
        return f"{device.serial}: the screen is off ({awake[1]}), so Android may slow programs down. Wake it up."
    if re.search(r"(mShowingLockscreen|isKeyguardShowing|mDreamingLockscreen)=true", device.told("dumpsys window")):
        return f"{device.serial}: the screen is locked; unlock it, or apps cannot be measured."
    return None


def parse_properties(text: str) -> dict[str, str]:
    """Return Android's properties from what `getprop` prints."""
    return {found["name"]: found["value"] for found in _PROPERTY.finditer(text)}


def parse_fields(text: str) -> dict[str, str]:
    """Return the first `name: value` of each name from what `dumpsys battery` prints."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def parse_temperatures(text: str) -> list[float]:
    """Return what processor and battery measure now, in °C, from what `dumpsys thermalservice` prints.

    The dump holds values of earlier, too; those of now follow `Current temperatures from HAL`.
    """
    _, _, current = text.partition("Current temperatures from HAL")
    current, _, _ = current.partition("Current cooling devices")
    return [float(found["value"]) for found in _TEMPERATURE.finditer(current) if found["type"] in _JUDGED_SENSORS]


def parse_zones(text: str) -> list[float]:
    """Return the processor's and battery's temperatures in °C from lines of a zone's type and its value."""
    found = []
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if _ZONES.search(name) and value.lstrip("-").isdecimal():
            number = float(value)
            found.append(number / 1000 if abs(number) >= 1000 else number)  # most kernels say thousandths
    return found


def parse_cpu_model(text: str) -> str | None:
    """Return the kinds of core from /proc/cpuinfo, such as `4× Cortex-A55, 4× Cortex-A76`, or the processor's name."""
    parts = Counter(re.findall(r"^CPU part\s*: (0x[0-9a-f]+)", text, re.MULTILINE))
    if parts:
        return ", ".join(f"{count}× {_ARM_CORES.get(part, f'part {part}')}" for part, count in sorted(parts.items()))
    named = re.search(r"^(?:Hardware|model name)\s*: (.+)$", text, re.MULTILINE)
    return named[1] if named else None


def _battery_celsius(fields: Mapping[str, str]) -> list[float]:
    tenths = fields.get("temperature", "")
    return [int(tenths) / 10] if tenths.lstrip("-").isdecimal() else []


def _is_plausible(celsius: float) -> bool:
    low, high = _PLAUSIBLE_C
    return low <= celsius <= high
