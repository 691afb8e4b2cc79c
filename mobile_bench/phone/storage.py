"""Files on a phone: whole folders brought there, each file once, proved by its hash, with room looked for first."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from mobile_bench.errors import DeviceError
from mobile_bench.phone.adb import AdbDevice

_AVAILABLE = re.compile(r"\d+\s+\d+\s+(?P<kib>\d+)\s+\d+%")
_SPARE_BYTES = 8 << 20
"""Left free: profiles and requests are written, too."""


def free_bytes(device: AdbDevice, folder: str) -> int | None:
    """Return how much may be written where a folder lies; None if that is not told.

    Raises:
        DeviceError: the device is gone.
    """
    found = _AVAILABLE.search(device.told(f"df -k {shlex.quote(folder)}"))
    return int(found["kib"]) * 1024 if found else None


def install_files(device: AdbDevice, files: Mapping[Path, str], folder: str, *, what: str) -> None:
    """Bring files into a folder there, those that are not there with the right content.

    Args:
        device: where to.
        files: SHA-256 by local file; they go under their names.
        folder: there; created.
        what: they are, for messages.

    Raises:
        DeviceError: the device is gone, has no room, or got something else than was sent.
    """
    device.shell("mkdir", "-p", folder)
    there = device.hashes([f"{folder}/{path.name}" for path in files])
    missing = [path for path, sha256 in files.items() if there.get(f"{folder}/{path.name}") != sha256]
    needed = sum(path.stat().st_size for path in missing)
    free = free_bytes(device, folder) if missing else None
    if free is not None and needed + _SPARE_BYTES > free:
        raise DeviceError(
            f"{device.serial} has no room for {what}: it takes {needed >> 20} MiB and {free >> 20} MiB are free "
            f"in {folder}. Remove something from the phone; `adb -s {device.serial} shell rm -r {_root(folder)}` "
            "removes earlier bundles."
        )
    for path in missing:
        device.push(path, f"{folder}/{path.name}", files[path])
    if missing:  # apps read them, too, whatever their modes were here
        device.shell("chmod", "-R", "a+rX", folder)


def _root(folder: str) -> str:
    """Return our own folder there, of which `folder` is one."""
    return folder.partition("/odllm/")[0] + "/odllm"
