"""The native runner on this host: what runs on phones, where it can be held against the Python worker."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mobile_bench.device import host_conditions, host_device
from mobile_bench.line_process import LineProcess
from mobile_bench.phone.runner_build import Kit
from mobile_bench.power import Meter, rapl_meter
from mobile_bench.protocol import InspectReply
from mobile_bench.record import Conditions, Device, DeviceKind
from odllm_artifact import Progress
from odllm_export.bundle import Manifest


def runner_arguments(library: str) -> list[str]:
    """Return what a runner is started with that answers one process's requests and ends with it."""
    return ["--runtime", library, "--end-with-input"]


@dataclass(frozen=True)
class NativeHostTarget:
    """This host, measured by the native runner: bundles are where they are.

    Attributes:
        kit: for this host.
    """

    kit: Kit
    kind: DeviceKind = "host"
    reference_provider: str = "cpu"

    @property
    def key(self) -> str:
        """The runner's path."""
        return str(self.kit.runner)

    def install(self, folder: Path, manifest: Manifest) -> None:
        """Do nothing: the bundle is on this host."""

    def path_of(self, folder: Path, manifest: Manifest) -> str:
        """Return the bundle's own path."""
        return str(folder)

    def start_worker(self, name: str) -> LineProcess:
        """Start a fresh runner."""
        return LineProcess(name, [str(self.kit.runner), *runner_arguments(str(self.kit.library))], os.environ)

    def device(self, inspected: InspectReply) -> Device:
        """Return what this host says about itself."""
        return host_device(self.kind, inspected.onnxruntime, inspected.runtime_build)

    def conditions(self) -> Conditions:
        """Return how this host is at this moment."""
        return host_conditions()

    def get_ready(self, progress: Progress) -> None:
        """Do nothing: this host is as it is, and the record says how busy it was."""

    def energy_meter(self) -> Meter | None:
        """Return the processor's counters, where it has them and this user may read them."""
        return rapl_meter()
