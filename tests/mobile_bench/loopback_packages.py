"""Fetches what the loopback device is made of: `python tests/mobile_bench/loopback_packages.py`, as `make phone` does.

Debian's arm64 adbd with Android's own userland (toybox), an emulator of arm64 processors, the C header of ONNX Runtime
and its library for arm64 Linux. They go to $ODLLM_PHONE_CACHE, or ~/.cache/odllm/phone; 110 MB are downloaded, once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from android_demo.tools.registries import debian_options, unpack_debian

RUNTIME = "onnxruntime==1.31.1"
_SUITE = "trixie"
_DEVICE_PACKAGES = ("adbd", "toybox", "dash", "libc6", "libstdc++6")
_HOST_PACKAGES = ("qemu-user", "libonnxruntime-dev")
_WHEEL_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64")
_DONE = "complete"


def cache_folder() -> Path:
    named = os.environ.get("ODLLM_PHONE_CACHE")
    return Path(named).absolute() if named else Path.home() / ".cache" / "odllm" / "phone"


def is_fetched() -> bool:
    return (cache_folder() / _DONE).is_file()


def emulator() -> Path:
    return cache_folder() / "host" / "usr" / "bin" / "qemu-aarch64"


def headers() -> Path:
    return cache_folder() / "host" / "usr" / "include" / "onnxruntime"


def device_files() -> Path:
    return cache_folder() / "device"


def runtime_wheel() -> Path:
    return next(cache_folder().glob("onnxruntime-*.whl"))


def fetch() -> None:
    """Fetch everything, unless it is there."""
    if is_fetched():
        return
    folder = cache_folder()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _unpack(_download_packages(folder, "amd64", _HOST_PACKAGES, with_dependencies=False), folder / "host")
    for program in (folder / "host" / "usr" / "bin").iterdir():
        if program.name != emulator().name:
            program.unlink()  # 460 MB for processors that nobody asks about
    _unpack(_download_packages(folder, "arm64", _DEVICE_PACKAGES, with_dependencies=True), folder / "device")
    _arrange_device(folder / "device")
    platforms = [word for platform in _WHEEL_PLATFORMS for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    _run([*pip, "--python-version", "3.11", *platforms, "--dest", str(folder), RUNTIME])
    (folder / _DONE).touch()


def _download_packages(folder: Path, architecture: str, names: tuple[str, ...], *, with_dependencies: bool) -> Path:
    """Download packages of another release or architecture without touching the machine's own package state."""
    state = folder / f"apt-{architecture}"
    apt = ["apt-get", *debian_options(state, _SUITE, architecture)]
    archives = state / "cache" / "archives"
    _run([*apt, "update"])
    if with_dependencies:
        _run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", *names])
    else:
        _run([*apt, "download", *names], archives)
    return archives


def _unpack(archives: Path, into: Path) -> None:
    for package in sorted(archives.glob("*.deb")):
        unpack_debian(package, into)
        package.unlink()


def _arrange_device(root: Path) -> None:
    """Make folders and links as Android's shell has them."""
    for name in ("bin", "sbin", "lib"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "dev", "sys", "tmp", "data/local/tmp", "sdcard"):
        (root / name).mkdir(parents=True, exist_ok=True)
    commands = subprocess.run(
        [str(emulator()), "-L", str(root), str(root / "usr/bin/toybox")], capture_output=True, text=True, check=True
    )
    for name in commands.stdout.split():
        link = root / "usr" / "bin" / name
        if not link.exists():
            link.symlink_to("toybox")


def _run(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    fetch()
    print(f"the loopback device's packages are in {cache_folder()}")
