"""What keeps a phone from being measured, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from mobile_bench.errors import DeviceError
from mobile_bench.phone.adb import Adb, AdbDevice
from mobile_bench.phone.energy import phone_meter
from mobile_bench.phone.facts import read_conditions, read_facts, screen_warning
from mobile_bench.phone.phones import READY
from mobile_bench.phone.runner_build import ABIS, find_kit
from mobile_bench.phone.start_gate import GateSettings, not_ready
from mobile_bench.phone.storage import free_bytes
from mobile_bench.phone.transport import APP

_LEAST_FREE_BYTES = 200 << 20

_STATES = {
    "unauthorized": "unlock it and accept the question about USB debugging",
    "authorizing": "unlock it and accept the question about USB debugging",
    "offline": "unplug it and plug it in again, or run `adb reconnect`",
    "no permissions": "allow this user to open USB devices (Debian: apt install android-sdk-platform-tools-common)",
}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        what: it is.
        verdict: `ok`; `note`: it may matter; `wrong`: nothing can be measured like this.
        said: what was found, and what to do.
    """

    what: str
    verdict: str
    said: str


def examine(adb: Adb, serial: str, state: str) -> list[Finding]:
    """Look at everything that measuring on a phone needs, in the order in which it is needed."""
    if state != READY:
        todo = next((words for sign, words in _STATES.items() if sign in state), "plug it in again")
        return [Finding("connection", "wrong", f"{state}: {todo}")]
    try:
        return list(_findings(adb.device(serial)))
    except DeviceError as error:
        return [Finding("connection", "wrong", str(error))]


def _findings(device: AdbDevice) -> Iterator[Finding]:
    facts, now = read_facts(device), read_conditions(device)
    yield Finding("connection", "ok", f"{facts.model or 'unnamed'}, {facts.os}")
    known = facts.abi in ABIS
    yield Finding(
        "ABI", "ok" if known else "wrong", facts.abi if known else f"{facts.abi!r} is none of {', '.join(ABIS)}"
    )
    yield _checked("runner", lambda: f"built, in {find_kit(facts.abi).folder}")
    yield _checked("hashes", lambda: _hashes(device))
    yield _storage(device)
    unready = not_ready(now, GateSettings())
    yield Finding("heat and battery", "note" if unready else "ok", unready or _condition_words(device))
    warning = screen_warning(device)
    yield Finding("screen", "note" if warning else "ok", warning or "on, or not told")
    meter = phone_meter(device, now)
    how = "cannot be measured: no power rails are told, and the battery's gauge not, or only what the charger brings"
    yield Finding("energy", "note" if meter is None else "ok", how if meter is None else f"by {meter.method}")
    app = "package:" in device.told(f"pm path {APP}")
    yield Finding("app", "ok" if app else "note", "installed" if app else f"{APP} is not installed; native needs none")


def _checked(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "ok", look())
    except DeviceError as error:
        return Finding(what, "wrong", str(error))


def _hashes(device: AdbDevice) -> str:
    device.hashes(["/proc/version"])
    return "sha256sum is there"


def _storage(device: AdbDevice) -> Finding:
    free = free_bytes(device, "/data/local/tmp")
    if free is None:
        return Finding("storage", "note", "/data/local/tmp does not tell how much is free")
    words = f"{free >> 20} MiB free in /data/local/tmp"
    return Finding("storage", "ok" if free >= _LEAST_FREE_BYTES else "note", words)


def _condition_words(device: AdbDevice) -> str:
    now = read_conditions(device)
    told = [
        None if now.temperature_c is None else f"{now.temperature_c:.1f} °C",
        None if now.thermal_status is None else f"thermal status {now.thermal_status}",
        None if now.battery_percent is None else f"battery {now.battery_percent:.0f} %",
        "on a charger" if now.charging else None,
    ]
    return ", ".join(filter(None, told)) or "not told"
