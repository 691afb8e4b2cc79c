"""Workers on a phone: the native runner behind `adb shell`, and an app that answers files of requests."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from mobile_bench.errors import DeviceError, WorkerError
from mobile_bench.line_process import LineProcess, read_answer
from mobile_bench.phone.adb import AdbDevice
from mobile_bench.protocol import Open, Round, Soak

Reply = TypeVar("Reply")

_SHELL_SIGNALS = 128
"""A shell's exit code for a program that a signal ended is this much above the signal."""

_FAILURES = ("INSTRUMENTATION_FAILED", "Process crashed", "Unable to find instrumentation", "INSTRUMENTATION_ABORTED")


class ShellWorker(LineProcess):
    """The native runner on a phone, its input and output through `adb shell`.

    Args:
        name: what messages call it.
        device: the phone.
        words: the command line there.
    """

    def __init__(self, name: str, device: AdbDevice, words: list[str]) -> None:
        self._device = device
        super().__init__(name, device.shell_command(f"exec {shlex.join(words)}"), os.environ)

    def cause_of_death(self, code: int) -> str:
        """Return how it came to end; to follow "the process"."""
        if not self._device.is_there():
            return f"is out of reach: {self._device.serial} went away in the middle. Is its cable in?"
        number = code - _SHELL_SIGNALS
        if number == signal.SIGKILL:
            return (
                f"on {self._device.serial} was killed, most likely for want of memory. "
                "Close other apps, or take a smaller bundle"
            )
        if number in set(signal.Signals):
            return f"on {self._device.serial} died of {signal.Signals(number).name}"
        return f"on {self._device.serial} ended with code {code} without an answer"


class InstrumentationWorker:
    """An app's instrumentation: a file of requests goes in, a file of answers comes back.

    Each request starts the app anew. What was opened for timing is gone then, so every round opens it again before it
    takes times: the rounds of several cells alternate all the same.

    Args:
        name: what messages call it.
        device: the phone.
        component: the instrumentation, such as `org.odllm.demo/.BenchInstrumentation`.
        requests_folder: that the shell writes and the app reads.
        answers_folder: that the app writes and the shell reads.
    """

    def __init__(self, name: str, device: AdbDevice, component: str, requests_folder: str, answers_folder: str) -> None:
        self.name = name
        self._device, self._component = device, component
        self._requests_folder, self._answers_folder = requests_folder, answers_folder
        self._opening: Open | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(kill=kind is not None)

    def ask(self, request: msgspec.Struct, reply: type[Reply], *, timeout_s: float) -> Reply:
        """Send a request and wait for its answer.

        Raises:
            BenchError: the app refused, with its words.
            DeviceError: the same, where it is the device's doing.
            WorkerError: the app died, took longer than `timeout_s` seconds, or answered nonsense.
        """
        lines = [request]
        if isinstance(request, Round | Soak) and self._opening is not None:
            lines = [self._opening, request]
        answers = self._run(lines, timeout_s)
        found = [read_answer(self.name, line, msgspec.Raw) for line in answers]
        if len(found) < len(lines):
            raise WorkerError(f"{self.name}: the app answered {len(found)} of {len(lines)} requests")
        if isinstance(request, Open):
            self._opening = request
        return read_answer(self.name, answers[-1], reply)

    def close(self, *, kill: bool = False) -> None:
        """End the app, if it may still be busy."""
        if kill:
            with contextlib.suppress(DeviceError):
                self._device.told(f"am force-stop {self._component.partition('/')[0]}")

    def _run(self, requests: list[msgspec.Struct], timeout_s: float) -> list[bytes]:
        """Have the app answer requests and return its lines."""
        token = uuid.uuid4().hex[:12]
        asked = f"{self._requests_folder}/requests-{token}.jsonl"
        answered = f"{self._answers_folder}/answers-{token}.jsonl"
        with tempfile.TemporaryDirectory(prefix="odllm-phone-") as scratch:
            local = Path(scratch) / "requests.jsonl"
            local.write_bytes(b"".join(msgspec.json.encode(request) + b"\n" for request in requests))
            self._device.push(local, asked)
            said = self._instrument(asked, answered, timeout_s)
            back = Path(scratch) / "answers.jsonl"
            try:
                self._device.pull(answered, back)
            except DeviceError as error:
                raise WorkerError(f"{self.name}: the app left no answers ({error}). It said: {said}") from error
            finally:
                with contextlib.suppress(DeviceError):
                    self._device.told(shlex.join(["rm", "-f", asked, answered]))
            return back.read_bytes().splitlines()

    def _instrument(self, asked: str, answered: str, timeout_s: float) -> str:
        words = ["am", "instrument", "-w", "-e", "requests", asked, "-e", "answers", answered, self._component]
        try:
            found = self._device.run(shlex.join(words), timeout_s=timeout_s)
        except DeviceError as error:
            self.close(kill=True)
            raise WorkerError(f"{self.name}: {error}") from error
        said = " ".join((found.stdout + found.stderr).split())[-400:]
        if found.returncode or any(sign in said for sign in _FAILURES):
            raise WorkerError(f"{self.name}: the app's instrumentation failed: {said}")
        return said
