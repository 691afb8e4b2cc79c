"""Building the native runner (`mobile_bench/phone/runner/`) for a kind of device, and finding what was built.

What a device needs beside a bundle is a *kit*: the runner and a libonnxruntime for its ABI, in a folder by the ABI's
name. Kits are built once and used for every device of that ABI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from mobile_bench.errors import BenchError, DeviceError
from odllm_artifact import read_json, sha256_file, sha256_folder, write_folder, write_json

SOURCES = Path(__file__).parent / "runner"
RUNNER = "odllm-runner"
LIBRARY = "libonnxruntime.so"
FOLDER_VARIABLE = "ODLLM_RUNNERS"
HEADERS_VARIABLE = "ODLLM_ORT_HEADERS"

HOST = "host"
LINUX_ARM64 = "linux-aarch64"
ANDROID_ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64", "x86")
ABIS = (*ANDROID_ABIS, LINUX_ARM64, HOST)

_ANDROID_PLATFORM = "android-24"
_HEADER = "onnxruntime_c_api.h"
_HEADER_FOLDERS = (Path("/usr/include/onnxruntime"), Path("/usr/local/include/onnxruntime"))
_NDK_VARIABLES = ("ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK")
_MARKER = "kit.json"


@dataclass(frozen=True)
class Kit:
    """What a device needs beside a bundle.

    Attributes:
        abi: one of `ABIS`.
        folder: with the runner and the library.
    """

    abi: str
    folder: Path

    @property
    def runner(self) -> Path:
        """The native program."""
        return self.folder / RUNNER

    @property
    def library(self) -> Path:
        """ONNX Runtime's C library."""
        return self.folder / LIBRARY


def kits_folder() -> Path:
    """Return where kits lie: `$ODLLM_RUNNERS`, or a folder in the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "odllm" / "runners"


def find_kit(abi: str) -> Kit:
    """Return the kit for an ABI.

    Raises:
        DeviceError: none was built, or from other sources than these.
    """
    folder = kits_folder() / abi
    how = f"`odllm phone build --abi {abi} --runtime onnxruntime-android.aar` builds it (docs/benchmarking.md)"
    if abi not in ABIS:
        raise DeviceError(f"there is no runner for ABI {abi!r}; there are {', '.join(ABIS)}")
    if not (folder / _MARKER).is_file():
        raise DeviceError(f"the runner for {abi} was not built: {how}")
    if read_json(folder / _MARKER).get("sources_sha256") != sha256_folder(SOURCES):
        raise DeviceError(f"the runner for {abi} was built from other sources than this version's: {how}")
    return Kit(abi, folder)


def build_kit(abi: str, runtime: Path | None = None, headers: Path | None = None, ndk: Path | None = None) -> Kit:
    """Build the runner for an ABI and put the runtime's library beside it.

    Args:
        abi: one of `ABIS`.
        runtime: an Android archive (`.aar`), a wheel or the library itself; on the host, the installed onnxruntime's.
        headers: folder with `onnxruntime_c_api.h`; the archive's, or the system's, if not given.
        ndk: Android's; `$ANDROID_NDK_HOME` if not given.

    Raises:
        BenchError: something needed is missing, or it does not compile.
    """
    if abi not in ABIS:
        raise BenchError(f"there is no ABI {abi!r}; there are {', '.join(ABIS)}")
    runtime = runtime or _installed_library(abi)
    with tempfile.TemporaryDirectory(prefix="odllm-runner-") as scratch:
        build = Path(scratch) / "build"
        include = headers or _headers(runtime, Path(scratch) / "headers")
        _run(["cmake", "-S", str(SOURCES), "-B", str(build), f"-DORT_INCLUDE_DIR={include}", *_toolchain(abi, ndk)])
        _run(["cmake", "--build", str(build), "--parallel", str(os.cpu_count() or 1)])
        folder = kits_folder() / abi
        with write_folder(folder, overwrite=True) as staging:
            shutil.copy(build / RUNNER, staging / RUNNER)
            _copy_library(runtime, abi, staging / LIBRARY)
            facts = {"abi": abi, "runtime": runtime.name, "sources_sha256": sha256_folder(SOURCES)}
            write_json(staging / _MARKER, facts | {"runtime_sha256": sha256_file(staging / LIBRARY)})
    kit = Kit(abi, folder)
    kit.runner.chmod(0o755)
    return kit


def _toolchain(abi: str, ndk: Path | None) -> list[str]:
    """Return what CMake is told about the compiler."""
    if abi == HOST:
        return []
    if abi == LINUX_ARM64:
        compiler = "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++"
        return ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", compiler]
    named = next((Path(os.environ[name]) for name in _NDK_VARIABLES if os.environ.get(name)), None)
    found = ndk or named
    file = None if found is None else found / "build" / "cmake" / "android.toolchain.cmake"
    if file is None or not file.is_file():
        raise BenchError(
            f"{abi} needs Android's NDK, and {found or 'none'} is none: give --ndk FOLDER or set ANDROID_NDK_HOME. "
            "Android Studio installs it under Sdk/ndk (SDK Manager, SDK Tools, NDK)."
        )
    return [f"-DCMAKE_TOOLCHAIN_FILE={file}", f"-DANDROID_ABI={abi}", f"-DANDROID_PLATFORM={_ANDROID_PLATFORM}"]


def _headers(runtime: Path, scratch: Path) -> Path:
    """Return a folder with the C header: the archive's own, else one that the system has."""
    if zipfile.is_zipfile(runtime):
        with zipfile.ZipFile(runtime) as archive:
            for name in archive.namelist():
                if name.endswith(f"/{_HEADER}"):
                    scratch.mkdir(parents=True)
                    (scratch / _HEADER).write_bytes(archive.read(name))
                    # From some version on it includes others that lie beside it.
                    for other in (one for one in archive.namelist() if Path(one).parent == Path(name).parent):
                        if other.endswith(".h"):
                            (scratch / Path(other).name).write_bytes(archive.read(other))
                    return scratch
    named = os.environ.get(HEADERS_VARIABLE)
    for folder in (*([Path(named)] if named else []), *_HEADER_FOLDERS):
        if (folder / _HEADER).is_file():
            return folder
    raise BenchError(
        f"{_HEADER} is needed: give --headers FOLDER, or the .aar as --runtime. Debian's package libonnxruntime-dev, "
        "onnxruntime's releases and onnxruntime-android.aar have it."
    )


def _installed_library(abi: str) -> Path:
    if abi == HOST:
        libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob(f"{LIBRARY}*"))
        if libraries:
            return libraries[0]
    raise BenchError(
        f"{abi} needs an ONNX Runtime: give --runtime FILE, such as onnxruntime-android.aar from Maven Central "
        "(com.microsoft.onnxruntime:onnxruntime-android), or a wheel for Linux."
    )


def _copy_library(runtime: Path, abi: str, to: Path) -> None:
    """Copy the library, out of an archive where it lies in one."""
    try:
        if not zipfile.is_zipfile(runtime):
            shutil.copyfile(runtime, to)
            return
        with zipfile.ZipFile(runtime) as archive:
            wanted = f"jni/{abi}/{LIBRARY}" if abi in ANDROID_ABIS else f"onnxruntime/capi/{LIBRARY}"
            name = next((name for name in archive.namelist() if name.startswith(wanted)), None)
            if name is None:
                raise BenchError(f"{runtime} holds no {wanted}: it is for another kind of device")
            with archive.open(name) as source, to.open("wb") as target:
                shutil.copyfileobj(source, target)
    except OSError as error:
        raise BenchError(f"cannot read {runtime}: {error.strerror}") from error


def _run(command: list[str]) -> None:
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchError(
            f"{command[0]} is needed to build the runner; install it (Debian: apt install cmake)"
        ) from error
    if found.returncode:
        said = "\n".join((found.stdout + found.stderr).strip().splitlines()[-12:])
        raise BenchError(f"the runner cannot be built; {' '.join(command[:2])} … said:\n{said}")
