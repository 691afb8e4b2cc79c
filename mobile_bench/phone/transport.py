"""The two ways to run bundles on a phone: the native runner in the shell, and the app's instrumentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mobile_bench.errors import DeviceError
from mobile_bench.phone.adb import AdbDevice
from mobile_bench.phone.native_process import runner_arguments
from mobile_bench.phone.runner_build import LIBRARY, RUNNER, Kit
from mobile_bench.phone.storage import install_files
from mobile_bench.phone.worker import InstrumentationWorker, ShellWorker
from mobile_bench.target import Worker
from odllm_artifact import sha256_file

SHELL_FOLDER = "/data/local/tmp/odllm"
"""The only place on a phone from which its shell may run programs."""

APP = "org.odllm.demo"
INSTRUMENTATION = f"{APP}/.BenchInstrumentation"
APP_FOLDER = f"/sdcard/Android/data/{APP}/files"
"""The app's folder on the shared storage, which the app writes and the shell reads.

What the shell brings lies in its own folder: apps may read there, while what the shell puts here need not be theirs to
read (Android 11 and later).
"""


class Transport(Protocol):
    """A way to run bundles on a phone.

    Attributes:
        folder: there, under which bundles lie.
    """

    @property
    def folder(self) -> str:
        """The folder there under which bundles lie."""

    def prepare(self) -> None:
        """Bring what runs bundles, or find it.

        Raises:
            DeviceError: it is not there, cannot be brought, or the device is gone.
        """

    def start_worker(self, name: str) -> Worker:
        """Start a fresh worker; `name` is what its messages call it."""


@dataclass(frozen=True)
class NativeTransport:
    """The native runner, started in the phone's shell.

    Attributes:
        device: the phone.
        kit: of its ABI.
    """

    device: AdbDevice
    kit: Kit
    folder: str = SHELL_FOLDER

    def prepare(self) -> None:
        """Bring the runner and the library, unless they are there.

        Raises:
            DeviceError: no room, or the device is gone.
        """
        files = {path: sha256_file(path) for path in (self.kit.runner, self.kit.library)}
        install_files(self.device, files, self._runner_folder, what="the runner")
        self.device.shell("chmod", "755", f"{self._runner_folder}/{RUNNER}")

    def start_worker(self, name: str) -> ShellWorker:
        """Start a fresh runner."""
        library = f"{self._runner_folder}/{LIBRARY}"
        return ShellWorker(name, self.device, [f"{self._runner_folder}/{RUNNER}", *runner_arguments(library)])

    @property
    def _runner_folder(self) -> str:
        return f"{self.folder}/runner"


@dataclass(frozen=True)
class InstrumentationTransport:
    """The app's instrumentation: what an app's users would feel, Java and all.

    Attributes:
        device: the phone.
    """

    device: AdbDevice
    folder: str = SHELL_FOLDER

    def prepare(self) -> None:
        """Find the app.

        Raises:
            DeviceError: it is not installed, or the device is gone.
        """
        if "package:" not in self.device.told(f"pm path {APP}"):
            raise DeviceError(
                f"{self.device.serial} does not have the app {APP}: install it (`make android` builds it) with "
                f"`adb -s {self.device.serial} install APK`, or take --transport native, which needs none."
            )
        self.device.shell("mkdir", "-p", self.folder)

    def start_worker(self, name: str) -> InstrumentationWorker:
        """Return a worker that starts the app for every request."""
        return InstrumentationWorker(name, self.device, INSTRUMENTATION, self.folder, APP_FOLDER)
