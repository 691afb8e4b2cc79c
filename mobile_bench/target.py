"""Where bundles are measured: this host, a phone or a browser, all asked in the words of `mobile_bench.protocol`."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

import msgspec

from mobile_bench.power import Meter
from mobile_bench.protocol import InspectReply
from mobile_bench.record import Conditions, Device, DeviceKind
from odllm_artifact import Progress
from odllm_export.bundle import Manifest

Reply = TypeVar("Reply")


class Worker(Protocol):
    """A fresh measuring process or page; ended when the `with` block ends, however it ends."""

    def __enter__(self) -> Self:
        """Return the worker."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: in order, or at once behind an error."""

    def ask(self, request: msgspec.Struct, reply: type[Reply], *, timeout_s: float) -> Reply:
        """Send a request and wait for its answer.

        Raises:
            BenchError: the worker refused, with its words.
            DeviceError: the same, where it is the device's doing.
            WorkerError: the worker died, took longer than `timeout_s` seconds, or answered nonsense.
        """

    def close(self, *, kill: bool = False) -> None:
        """End it: in order, or at once."""


class Target(Protocol):
    """A device, and one way to run bundles on it.

    Attributes:
        kind: of the device that it really is.
        key: tells it from others when results are kept.
        reference_provider: the one that runs every node and that placements are compared with: `cpu`, as a rule.
    """

    @property
    def kind(self) -> DeviceKind:
        """Of the device that it really is."""

    @property
    def key(self) -> str:
        """What tells it from others when results are kept."""

    @property
    def reference_provider(self) -> str:
        """The provider that runs every node, with which placements are compared."""

    def install(self, folder: Path, manifest: Manifest) -> None:
        """Bring a bundle whose files were checked to the device, unless it is there; proved by hashes.

        Raises:
            DeviceError: the device is gone, or has no room.
        """

    def path_of(self, folder: Path, manifest: Manifest) -> str:
        """Return what workers call an installed bundle's folder."""

    def start_worker(self, name: str) -> Worker:
        """Start a fresh worker; `name` is what its messages call it.

        Raises:
            DeviceError: the device is gone.
        """

    def device(self, inspected: InspectReply) -> Device:
        """Return what the device says about itself."""

    def conditions(self) -> Conditions:
        """Return how it is at this moment.

        Raises:
            DeviceError: the device is gone.
        """

    def get_ready(self, progress: Progress) -> None:
        """Wait until timing may begin: a phone that is hot or empty is not measured.

        Raises:
            DeviceError: it never got ready, or is gone.
        """

    def energy_meter(self) -> Meter | None:
        """Return what can measure the device's energy at this moment; None without anything.

        Raises:
            DeviceError: the device is gone.
        """
