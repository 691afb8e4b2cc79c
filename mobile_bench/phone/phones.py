"""Several phones at once: what is attached, and bundles measured on each, whatever happens to the others."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mobile_bench.cell import make_cells
from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.host import measure_cells
from mobile_bench.phone.adb import Adb
from mobile_bench.phone.facts import read_facts
from mobile_bench.phone.start_gate import GateSettings
from mobile_bench.phone.storage import free_bytes
from mobile_bench.phone.target import PhoneTarget
from mobile_bench.phone.transport import SHELL_FOLDER
from mobile_bench.protocol import Settings
from mobile_bench.quality import HeldOutUsers
from mobile_bench.record import Record
from mobile_bench.results import Failure, Results
from odllm_artifact import OdllmError, Progress, silent

READY = "device"
"""What adb calls a device that can be used."""


class PhoneState(msgspec.Struct, frozen=True):
    """One attached phone. `None`: it does not tell, or cannot be asked.

    Attributes:
        serial: by which adb knows it.
        state: `device` where it can be used, else such as `unauthorized` or `offline`.
        model: as its maker names it.
        os: name and release of the system.
        abi: that its programs are built for.
        free_bytes: of its storage.
    """

    serial: str
    state: str
    model: str | None = None
    os: str | None = None
    abi: str | None = None
    free_bytes: int | None = None


@dataclass(frozen=True)
class PhonePlan:
    """What every phone is asked to do.

    Attributes:
        bundles: folders.
        providers: by the command line's names.
        threads: numbers of threads of the runtime's pool.
        transport: `native` or `instrumentation`.
        settings: how long to measure.
        gate: when timing may begin.
        users: held-out users whose next items are looked for, if any.
    """

    bundles: Sequence[Path]
    providers: Sequence[str] = ("cpu",)
    threads: Sequence[int] = (1,)
    transport: str = "native"
    settings: Settings = field(default_factory=Settings)
    gate: GateSettings = field(default_factory=GateSettings)
    users: HeldOutUsers | None = None


def list_phones(adb: Adb) -> list[PhoneState]:
    """Return what is attached, with what each tells of itself.

    Raises:
        DeviceError: adb does not work.
    """
    found = []
    for listed in adb.devices():
        state = PhoneState(listed.serial, listed.state)
        if listed.state == READY:
            state = _asked(adb, state)
        found.append(state)
    return found


def _asked(adb: Adb, state: PhoneState) -> PhoneState:
    device = adb.device(state.serial)
    try:
        facts = read_facts(device)
        free = free_bytes(device, str(Path(SHELL_FOLDER).parent))
    except DeviceError:
        return msgspec.structs.replace(state, state="gone")
    return msgspec.structs.replace(state, model=facts.model, os=facts.os, abi=facts.abi or None, free_bytes=free)


def choose_serials(adb: Adb, wanted: str | None) -> list[str]:
    """Return the serials of the phones to use.

    Args:
        adb: the program.
        wanted: serials with commas between them, `all` that can be used, or None for the only one.

    Raises:
        BenchError: several are attached and none was named.
        DeviceError: none that can be used is attached.
    """
    if wanted not in (None, "all"):
        return list(dict.fromkeys(serial.strip() for serial in str(wanted).split(",") if serial.strip()))
    listed = adb.devices()
    ready = [one.serial for one in listed if one.state == READY]
    if not ready:
        others = ", ".join(f"{one.serial} is {one.state}" for one in listed) or "nothing is attached"
        raise DeviceError(f"there is no phone to measure on ({others}). `odllm phone doctor` says what to do.")
    if wanted is None and len(ready) > 1:
        raise BenchError(f"{len(ready)} phones are attached: give --serial {','.join(ready)}, some of them, or all")
    return ready


def measure_phones(adb: Adb, serials: Sequence[str], plan: PhonePlan, progress: Progress = silent) -> Results:
    """Measure bundles on several phones at once, each in its own run; one that fails does not end the others.

    Raises:
        BenchError: there is no such transport or provider, or nothing to measure.
        odllm_export.errors.BundleError: a bundle is damaged.
    """
    runs = [_PhoneRun(adb, serial, plan) for serial in dict.fromkeys(serials)]
    shown = _SharedProgress(progress, len(runs))
    # Daemons: Ctrl-C ends this process at once, and with it what it started on the phones.
    threads = [threading.Thread(target=run.carry_out, args=(shown.of(run.serial),), daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in runs:
        if run.error is not None:
            raise run.error
    records: list[Record] = [record for run in runs for record in run.results.records]
    return Results(records=records, failures=[failure for run in runs for failure in run.results.failures])


class _PhoneRun:
    """One phone's part, in a thread of its own."""

    def __init__(self, adb: Adb, serial: str, plan: PhonePlan) -> None:
        self.serial = serial
        self.results = Results(records=[], failures=[])
        self.error: OdllmError | None = None
        self._adb, self._plan = adb, plan

    def carry_out(self, progress: Progress) -> None:
        """Measure; what concerns this phone alone becomes failed cells, the rest an error of the whole run."""
        plan = self._plan
        try:
            target = PhoneTarget.of(self._adb.device(self.serial), plan.transport, plan.gate)
            cells = make_cells(plan.bundles, plan.providers, plan.threads, users=plan.users, target=target)
            self.results = measure_cells(cells, plan.settings, progress)
        except DeviceError as error:
            self.results = Results(records=[], failures=self._all_failed(str(error)))
        except OdllmError as error:
            self.error = error

    def _all_failed(self, reason: str) -> list[Failure]:
        reason = reason if self.serial in reason else f"{self.serial}: {reason}"
        return [
            Failure(bundle=bundle.name, provider=provider, threads=count, reason=" ".join(reason.split()))
            for bundle in self._plan.bundles
            for provider in self._plan.providers
            for count in self._plan.threads
        ]


class _SharedProgress:
    """Adds up what several phones report."""

    def __init__(self, progress: Progress, phones: int) -> None:
        self._progress, self._phones = progress, phones
        self._lock = threading.Lock()
        self._shares: dict[str, float] = {}

    def of(self, serial: str) -> Progress:
        """Return what one phone reports to."""

        def report(done: float, total: float, note: str = "") -> None:
            with self._lock:
                self._shares[serial] = done / total if total else 0.0
                self._progress(sum(self._shares.values()), self._phones, f"{serial}: {note}")

        return report
