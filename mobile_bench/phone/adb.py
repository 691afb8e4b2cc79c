"""Android's `adb`, as far as measuring needs it: one device always named, exit codes, pushes proved by hashes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobile_bench.errors import DeviceError
from odllm_artifact import sha256_file

_SHELL_TIMEOUT_S = 60.0
_SLOWEST_BYTES_PER_S = 1 << 20
_LAST_LINES = 3

_WORDS = {
    "unauthorized": "has not allowed this computer: unlock it and accept the question about USB debugging",
    "offline": "is offline: unplug it and plug it in again, or run `adb reconnect`",
    "not found": "is gone: is its cable in, and USB debugging on? `adb devices` lists what is there",
    "no devices": "is gone: is its cable in, and USB debugging on? `adb devices` lists what is there",
    "closed": "went away in the middle: is its cable in?",
    "connection reset": "went away in the middle: is its cable in?",
    "no space left": "has no room left: remove something from it, or from /data/local/tmp/odllm",
}
"""What adb says of a device, in words that say what to do."""


@dataclass(frozen=True)
class ListedDevice:
    """One line of `adb devices`.

    Attributes:
        serial: by which adb knows it.
        state: `device` where it can be used, else such as `unauthorized` or `offline`.
    """

    serial: str
    state: str


@dataclass(frozen=True)
class Adb:
    """The `adb` program.

    Attributes:
        program: its path.
    """

    program: str

    @classmethod
    def find(cls) -> Adb:
        """Return the `adb` on the path.

        Raises:
            DeviceError: there is none.
        """
        program = shutil.which("adb")
        if program is None:
            raise DeviceError(
                "adb is not installed. It is in Android's platform-tools (Debian: apt install adb); put it on the path."
            )
        return cls(program)

    def devices(self) -> list[ListedDevice]:
        """Return what is attached, whatever its state.

        Raises:
            DeviceError: adb's server does not start.
        """
        found = _run([self.program, "devices"], "adb", _SHELL_TIMEOUT_S)
        if found.returncode:
            raise DeviceError(f"adb does not work: {_last_words(found)}")
        lines = [line.split() for line in found.stdout.splitlines()[1:] if "\t" in line]
        return [ListedDevice(serial, state) for serial, state, *_ in lines]

    def device(self, serial: str) -> AdbDevice:
        """Return one device by its serial, there or not."""
        return AdbDevice(self.program, serial)


@dataclass(frozen=True)
class AdbDevice:
    """One device, always by its serial.

    Attributes:
        program: adb's path.
        serial: by which adb knows it.
    """

    program: str
    serial: str

    def command(self, *words: str) -> list[str]:
        """Return adb's command line for this device."""
        return [self.program, "-s", self.serial, *words]

    def shell_command(self, script: str) -> list[str]:
        """Return a command line that runs a script there: exit code, standard error apart, bytes as they are."""
        return self.command("shell", "-T", script)

    def is_there(self) -> bool:
        """Return whether it answers."""
        found = _run(self.command("get-state"), self.serial, _SHELL_TIMEOUT_S)
        return found.returncode == 0 and found.stdout.strip() == "device"

    def run(self, script: str, *, timeout_s: float = _SHELL_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run a script there, whatever its exit code.

        Raises:
            DeviceError: the device is gone, or took longer than `timeout_s` seconds.
        """
        found = _run(self.shell_command(script), self.serial, timeout_s)
        if found.returncode and (words := _device_words(found.stderr)) and not self.is_there():
            raise DeviceError(f"{self.serial} {words}")
        return found

    def shell(self, *words: str, timeout_s: float = _SHELL_TIMEOUT_S) -> str:
        """Run a command there and return what it prints.

        Raises:
            DeviceError: it failed, or the device is gone.
        """
        found = self.run(shlex.join(words), timeout_s=timeout_s)
        if found.returncode:
            raise self._failure(f"cannot run `{' '.join(words)[:80]}`", found)
        return found.stdout

    def told(self, script: str) -> str:
        """Return what a script prints, empty where it fails: for facts that a device need not tell.

        Raises:
            DeviceError: the device is gone.
        """
        found = self.run(script)
        return "" if found.returncode else found.stdout

    def hashes(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the SHA-256 of those files that are there, by path.

        Raises:
            DeviceError: it cannot take hashes, or is gone.
        """
        if not paths:
            return {}
        found = self.run(f"sha256sum {shlex.join(paths)}", timeout_s=600)
        if found.returncode == 127:
            raise DeviceError(f"{self.serial} has no sha256sum: Android 8 or later is needed")
        lines = [line.split(maxsplit=1) for line in found.stdout.splitlines()]
        return {path.strip(): sha256 for sha256, path in lines if len(sha256) == 64}

    def push(self, local: Path, remote: str, sha256: str | None = None) -> None:
        """Copy a file there; it appears under its name when its hash was found to be right.

        Args:
            local: file.
            remote: path there; its folder must be there.
            sha256: of the file, if known.

        Raises:
            DeviceError: no room, the device went away, or the copy differs.
        """
        partial = f"{remote}.partial"
        timeout_s = _SHELL_TIMEOUT_S + local.stat().st_size / _SLOWEST_BYTES_PER_S
        found = _run(self.command("push", str(local), partial), self.serial, timeout_s)
        if found.returncode:
            error = self._failure(f"cannot take {local.name}", found)
            self._forget(partial)
            raise error
        expected = sha256 or sha256_file(local)
        if self.hashes([partial]).get(partial) != expected:
            self._forget(partial)
            raise DeviceError(f"{self.serial}: {local.name} arrived with another hash. Try another cable or port.")
        self.shell("mv", "-f", partial, remote)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from there.

        Raises:
            DeviceError: it is not there, or the device went away.
        """
        found = _run(self.command("pull", remote, str(local)), self.serial, 600)
        if found.returncode:
            raise self._failure(f"does not give {remote}", found)

    def _forget(self, path: str) -> None:
        """Remove a file there, if the device still answers."""
        _run(self.shell_command(f"rm -f {shlex.quote(path)}"), self.serial, _SHELL_TIMEOUT_S)

    def _failure(self, what: str, found: subprocess.CompletedProcess[str]) -> DeviceError:
        words = _device_words(found.stderr + found.stdout)
        said = _last_words(found)
        return DeviceError(f"{self.serial} {words} (adb: {said})" if words else f"{self.serial} {what}: {said}")


def _device_words(text: str) -> str | None:
    """Return what to say of a device, where adb says that the device is the reason."""
    return next((words for sign, words in _WORDS.items() if sign in text.lower()), None)


def _last_words(found: subprocess.CompletedProcess[str]) -> str:
    lines = (found.stderr.strip() or found.stdout.strip()).splitlines()
    return " ".join(lines[-_LAST_LINES:]) or f"exit code {found.returncode}"


def _run(command: Sequence[str], who: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{who} did not answer within {timeout_s:.0f} s. Unplug it and plug it in again.") from error
    except FileNotFoundError as error:
        raise DeviceError(f"{command[0]} is not there; adb is in Android's platform-tools") from error
