"""This host, with the Python whose onnxruntime has a provider."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobile_bench.device import host_conditions, host_device
from mobile_bench.device_kind import device_kind, environment_of
from mobile_bench.environments import python_for
from mobile_bench.power import Meter, rapl_meter
from mobile_bench.protocol import InspectReply
from mobile_bench.record import Conditions, Device, DeviceKind
from mobile_bench.worker_process import WorkerProcess
from odllm_artifact import Progress
from odllm_export.bundle import Manifest


@dataclass(frozen=True)
class HostTarget:
    """This host with one provider: bundles are where they are, workers are processes.

    Attributes:
        provider: by the command line's name.
        python: whose onnxruntime has it.
        kind: of the device that the provider runs on here.
    """

    provider: str
    python: Path
    kind: DeviceKind
    reference_provider: str = "cpu"

    @classmethod
    def of(cls, provider: str) -> HostTarget:
        """Return this host with a provider.

        Raises:
            BenchError: it is not installed.
            odllm_export.errors.BundleError: there is none of that name.
        """
        return cls(provider, python_for(provider), device_kind(provider))

    @property
    def key(self) -> str:
        """The Python that runs it."""
        return str(self.python)

    def install(self, folder: Path, manifest: Manifest) -> None:
        """Do nothing: the bundle is on this host."""

    def path_of(self, folder: Path, manifest: Manifest) -> str:
        """Return the bundle's own path."""
        return str(folder)

    def start_worker(self, name: str) -> WorkerProcess:
        """Start a fresh process with the provider's onnxruntime."""
        return WorkerProcess(name, python=self.python, environment=environment_of(self.provider))

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
