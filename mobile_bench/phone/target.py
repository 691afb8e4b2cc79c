"""A phone as a target: facts, conditions, bundles brought there, fresh workers (`mobile_bench.target`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mobile_bench.errors import BenchError
from mobile_bench.phone.adb import AdbDevice
from mobile_bench.phone.energy import phone_meter
from mobile_bench.phone.facts import PhoneFacts, read_conditions, read_facts
from mobile_bench.phone.runner_build import find_kit
from mobile_bench.phone.start_gate import GateSettings, wait_until_ready
from mobile_bench.phone.storage import install_files
from mobile_bench.phone.transport import InstrumentationTransport, NativeTransport, Transport
from mobile_bench.power import Meter
from mobile_bench.protocol import InspectReply
from mobile_bench.record import LATENCY_KINDS, Conditions, Device, DeviceKind
from mobile_bench.target import Worker
from odllm_artifact import Progress, sha256_file
from odllm_export.bundle import MANIFEST, Manifest

TRANSPORTS = ("native", "instrumentation")


@dataclass(frozen=True, eq=False)
class PhoneTarget:
    """One phone and one way to run bundles on it.

    Attributes:
        adb: the phone.
        facts: what it says about itself.
        transport: how bundles run.
        gate: when timing may begin.
    """

    adb: AdbDevice
    facts: PhoneFacts
    transport: Transport
    gate: GateSettings = field(default_factory=GateSettings)
    reference_provider: str = "cpu"

    @classmethod
    def of(cls, adb: AdbDevice, transport: str = "native", gate: GateSettings | None = None) -> PhoneTarget:
        """Return a phone that is ready to run bundles: the runner is on it, or its app was found.

        Raises:
            BenchError: there is no such transport.
            DeviceError: the phone is gone, has no room, or there is no runner for it.
        """
        if transport not in TRANSPORTS:
            raise BenchError(f"transport {transport!r} is not one of {', '.join(TRANSPORTS)}")
        facts = read_facts(adb)
        way = NativeTransport(adb, find_kit(facts.abi)) if transport == "native" else InstrumentationTransport(adb)
        way.prepare()
        return cls(adb, facts, way, gate or GateSettings())

    @property
    def kind(self) -> DeviceKind:
        """`phone`, or what stands in for one."""
        return self.facts.kind

    @property
    def key(self) -> str:
        """Its serial."""
        return self.adb.serial

    def install(self, folder: Path, manifest: Manifest) -> None:
        """Bring a bundle's files to the phone, those that are not there with the right content.

        Raises:
            DeviceError: the phone is gone, or has no room.
        """
        files = {folder / name: fact.sha256 for name, fact in manifest.files.items()}
        files[folder / MANIFEST] = sha256_file(folder / MANIFEST)  # last: a folder with a manifest is a whole one
        install_files(self.adb, files, self.path_of(folder, manifest), what=f"the bundle {folder.name}")

    def path_of(self, folder: Path, manifest: Manifest) -> str:
        """Return the bundle's folder there: by its hash, so that two bundles of one name do not meet."""
        return f"{self.transport.folder}/bundles/{sha256_file(folder / MANIFEST)[:16]}"

    def start_worker(self, name: str) -> Worker:
        """Start a fresh worker.

        Raises:
            DeviceError: the phone is gone.
        """
        return self.transport.start_worker(f"{self.adb.serial}: {name}")

    def device(self, inspected: InspectReply) -> Device:
        """Return what the phone says about itself."""
        return self.facts.device(inspected)

    def conditions(self) -> Conditions:
        """Return how the phone is at this moment.

        Raises:
            DeviceError: it is gone.
        """
        return read_conditions(self.adb)

    def get_ready(self, progress: Progress) -> None:
        """Wait until the phone is cool and charged, unless its times mean nothing anyway.

        Raises:
            DeviceError: it never got there, or is gone.
        """
        if self.kind in LATENCY_KINDS:
            wait_until_ready(self.conditions, self.gate, progress)

    def energy_meter(self) -> Meter | None:
        """Return what can measure the phone's energy at this moment, if anything."""
        return phone_meter(self.adb, self.conditions())
