"""A real adb device on this machine: Debian's arm64 adbd under an emulator, in namespaces of its own.

adb connects to it as to a phone on the network. It has Android's shell commands (toybox), but no Android: `getprop`,
`dumpsys`, `pm` and `am` are scripts of ours in `loopback_commands/`, which say what tests want. Every mount is in a
mount namespace and every process in a process namespace that end with the device; what is left to undo are the network
namespace, the emulator's registration and adb's server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import loopback_packages

from mobile_bench.phone.adb import AdbDevice

COMMANDS = Path(__file__).parent / "loopback_commands"
PROGRAMS = ("adb", "ip", "unshare", "aarch64-linux-gnu-g++", "cmake")
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_SERVER_PORT = "5138"
_PATIENCE_S = 60.0

_START = r"""
set -e
mount --make-rprivate /
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount --rbind -o ro /sys "$ROOT/sys"
mount -t tmpfs -o "size=$STORAGE,mode=1777" tmpfs "$ROOT/data/local/tmp"
exec chroot "$ROOT" /usr/bin/env -i PATH=/usr/sbin:/usr/bin HOME=/data/local/tmp SHELL=/bin/sh \
    QEMU_CPU="$QEMU_CPU" /usr/sbin/adbd
"""


def why_not() -> str | None:
    """Return why there can be no loopback device here; None if there can."""
    if os.geteuid() != 0:
        return "the loopback device needs root: it makes namespaces and registers an emulator"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"the loopback device needs {', '.join(missing)} (Debian: adb iproute2 g++-aarch64-linux-gnu cmake)"
    if not loopback_packages.is_fetched():
        return "the loopback device's packages were not fetched: `make phone` does it"
    unshared = subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True)
    return "this machine allows no namespaces" if unshared.returncode else None


@dataclass
class LoopbackDevice:
    """A running device.

    Attributes:
        adb: how it is reached.
        root: of its files.
        process: that it lives in; killed, the device is gone.
    """

    adb: AdbDevice
    root: Path
    process: subprocess.Popen[bytes]

    def vanish(self) -> None:
        """Go away at once, as a phone does whose cable is pulled."""
        self.process.kill()
        self.process.wait()


class LoopbackNetwork:
    """Where loopback devices are: a network namespace with an adb server; `program` is its `adb`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._name = f"odllm{os.getpid()}"
        self._devices = 0
        self.program = scratch / "bin" / "adb"
        self._cleanup = ExitStack()

    def __enter__(self) -> LoopbackNetwork:
        with ExitStack() as stack:
            stack.enter_context(_registered_emulator())
            self._namespace(stack, self._name)
            self.program.parent.mkdir()
            home = self._scratch / "home"
            home.mkdir()
            adb = shutil.which("adb")
            self.program.write_text(
                f'#!/bin/sh\nHOME={home} exec ip netns exec {self._name} {adb} -P {_SERVER_PORT} "$@"\n'
            )
            self.program.chmod(0o755)
            stack.callback(subprocess.run, [str(self.program), "kill-server"], capture_output=True, check=False)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @contextmanager
    def device(self, *, storage: str = "1g", cpu: str = "cortex-a76") -> Iterator[LoopbackDevice]:
        """Start a device and connect to it; each has an address of its own."""
        self._devices += 1
        with ExitStack() as stack:
            namespace, address = self._place(stack, self._devices)
            root = self._scratch / f"device{self._devices}"
            shutil.copytree(loopback_packages.device_files(), root, symlinks=True)
            for command in COMMANDS.iterdir():
                shutil.copy(command, root / "usr" / "bin" / command.name)
            variables = {"PATH": os.environ["PATH"], "ROOT": str(root), "STORAGE": storage, "QEMU_CPU": cpu}
            inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _START]
            log = stack.enter_context((self._scratch / f"device{self._devices}.log").open("wb"))
            process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *inside], env=variables, stdout=log, stderr=log
            )
            device = LoopbackDevice(AdbDevice(str(self.program), f"{address}:5555"), root, process)
            stack.callback(device.vanish)
            self._connect(device)
            yield device

    def _place(self, stack: ExitStack, number: int) -> tuple[str, str]:
        """Return a network namespace and the address that it has for adb's server."""
        if number == 1:
            return self._name, "127.0.0.1"
        name = f"{self._name}-{number}"
        self._namespace(stack, name)
        ends = f"v{os.getpid()}a{number}", f"v{os.getpid()}b{number}"
        _ip("link", "add", ends[0], "netns", self._name, "type", "veth", "peer", "name", ends[1], "netns", name)
        for namespace, end, last in ((self._name, ends[0], 1), (name, ends[1], 2)):
            _ip("-n", namespace, "address", "add", f"10.77.{number}.{last}/24", "dev", end)
            _ip("-n", namespace, "link", "set", end, "up")
        return name, f"10.77.{number}.2"

    def _namespace(self, stack: ExitStack, name: str) -> None:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "delete", name)
        _ip("-n", name, "link", "set", "lo", "up")

    def _connect(self, device: LoopbackDevice) -> None:
        ends = time.monotonic() + _PATIENCE_S
        while time.monotonic() < ends:
            subprocess.run([str(self.program), "connect", device.adb.serial], capture_output=True, check=False)
            if device.adb.is_there():
                return
            if device.process.poll() is not None:
                break
            time.sleep(0.3)
        raise RuntimeError(f"the loopback device at {device.adb.serial} did not come up")


@contextmanager
def _registered_emulator() -> Iterator[None]:
    """Have the kernel run arm64 programs with the emulator, which it opens now: a chroot needs no copy of it."""
    with ExitStack() as stack:
        if not (_BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "none", str(_BINFMT)], check=True)
            stack.callback(subprocess.run, ["umount", str(_BINFMT)], check=True)
        name = f"odllm-aarch64-{os.getpid()}"
        (_BINFMT / "register").write_text(f":{name}:M::{_MAGIC}:{_MASK}:{loopback_packages.emulator()}:F")
        stack.callback((_BINFMT / name).write_text, "-1")
        yield


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
