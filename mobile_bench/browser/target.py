"""A browser on this host: pages that run bundles with onnxruntime-web."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mobile_bench.browser.protocol import BrowserFacts, Describe
from mobile_bench.browser.runtime import require_browser
from mobile_bench.device import host_conditions, host_device
from mobile_bench.errors import DeviceError
from mobile_bench.power import Meter, rapl_meter
from mobile_bench.protocol import InspectReply
from mobile_bench.record import Conditions, Device, DeviceKind
from mobile_bench.worker_process import WorkerProcess
from odllm_artifact import Progress
from odllm_export.bundle import Manifest

_DESCRIBE_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class BrowserTarget:
    """The system's Chromium with one provider: bundles are served to it from where they are.

    Attributes:
        provider: by the command line's name.
        kind: `browser`, or `software-gpu` where WebGPU computes on the processor.
        facts: what the browser says about itself.
    """

    provider: str
    kind: DeviceKind
    facts: BrowserFacts
    reference_provider: str = "wasm"

    @classmethod
    def of(cls, provider: str) -> BrowserTarget:
        """Start a browser and ask what it is.

        Raises:
            BenchError: the browser, its driver or the runtime is not installed.
            DeviceError: the browser does not start, or has no graphics adapter for WebGPU.
        """
        require_browser(provider)
        with _worker(provider) as worker:
            facts = worker.ask(Describe(provider), BrowserFacts, timeout_s=_DESCRIBE_TIMEOUT_S)
        return cls(provider, kind_of(provider, facts), facts)

    @property
    def key(self) -> str:
        """The browser that runs it."""
        return f"{self.facts.browser} {self.provider}"

    def install(self, folder: Path, manifest: Manifest) -> None:
        """Do nothing: the bundle is served from where it is."""

    def path_of(self, folder: Path, manifest: Manifest) -> str:
        """Return the bundle's own path, which the worker serves."""
        return str(folder)

    def start_worker(self, name: str) -> WorkerProcess:
        """Start a process that will start a fresh browser."""
        return _worker(name)

    def device(self, inspected: InspectReply) -> Device:
        """Return what this host and the browser say about themselves."""
        host = host_device(self.kind, inspected.onnxruntime, inspected.runtime_build)
        return msgspec.structs.replace(host, cores=self.facts.page.cores, python=None, browser=self.facts.browser)

    def conditions(self) -> Conditions:
        """Return how this host is at this moment."""
        return host_conditions()

    def get_ready(self, progress: Progress) -> None:
        """Do nothing: this host is as it is, and the record says how busy it was."""

    def energy_meter(self) -> Meter | None:
        """Return the processor's counters, where it has them and this user may read them."""
        return rapl_meter()


def kind_of(provider: str, facts: BrowserFacts) -> DeviceKind:
    """Return what a provider really runs on in a browser.

    Raises:
        DeviceError: there is no graphics adapter for WebGPU.
    """
    if provider != "webgpu-browser":
        return "browser"
    adapter = facts.page.adapter
    if adapter is None:
        raise DeviceError(
            f"provider {provider!r} cannot be measured: {facts.browser} offers no graphics adapter to pages here"
        )
    return "software-gpu" if adapter.software else "browser"


def _worker(name: str) -> WorkerProcess:
    return WorkerProcess(name, module="mobile_bench.browser.worker")
