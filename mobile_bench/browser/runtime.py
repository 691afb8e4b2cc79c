"""What a browser needs to run bundles: onnxruntime-web from npm, Chromium from the system, Playwright to drive it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from mobile_bench.device_kind import has_gpu
from mobile_bench.errors import BenchError
from mobile_bench.provider_state import ProviderState, environments_folder
from odllm_artifact import write_folder

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package's archive, as npm's lock files write it."""

WASM_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
WEBGPU_FILES = ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")

CHROMIUM_VARIABLE = "ODLLM_CHROMIUM"
_QUIET = (
    *("--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-extensions", "--mute-audio"),
)
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def runtime_folder() -> Path:
    """Return where this version of onnxruntime-web lies, or would."""
    return environments_folder() / f"{PACKAGE}-{VERSION}"


def require_runtime() -> Path:
    """Return the folder of onnxruntime-web.

    Raises:
        BenchError: it is not installed.
    """
    if missing := _missing_runtime():
        raise BenchError(f"{PACKAGE} {VERSION} is not installed: {missing}")
    return runtime_folder()


def find_chromium() -> Path | None:
    """Return the browser's program: `$ODLLM_CHROMIUM`, or the first of the usual names.

    Raises:
        BenchError: the variable names something that is no file.
    """
    named = os.environ.get(CHROMIUM_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise BenchError(f"{CHROMIUM_VARIABLE} is {named!r}, which is no file; name Chromium's program")
        return Path(named)
    return next((Path(path) for name in _PROGRAMS if (path := shutil.which(name))), None)


def provider_state(name: str) -> ProviderState:
    """Return whether pages with a provider can be measured here, and what is missing if not."""
    missing = list(filter(None, (_missing_runtime(), _missing_playwright(), _missing_chromium())))
    if missing:
        return ProviderState(name, "installable", "; ".join(missing))
    return ProviderState(name, "environment", str(runtime_folder()))


def require_browser(name: str) -> Path:
    """Return Chromium's program, if a page with a provider can be measured here.

    Raises:
        BenchError: something is missing, with words on where to get it.
    """
    state = provider_state(name)
    chromium = find_chromium()
    if state.state == "installable" or chromium is None:
        raise BenchError(f"provider {name!r} cannot be measured yet: {state.where}")
    if not sys.platform.startswith("linux"):
        raise BenchError("a page's memory and processor time are read from /proc: pages are measured on Linux only")
    return chromium


def browser_flags(provider: str) -> list[str]:
    """Return how Chromium is started for a provider; without a graphics processor WebGPU computes on SwiftShader."""
    if provider != "webgpu-browser":
        return [*_QUIET, "--disable-gpu"]
    adapter = "--enable-features=Vulkan" if has_gpu() else "--use-webgpu-adapter=swiftshader"
    return [*_QUIET, "--enable-unsafe-webgpu", adapter]


def install() -> Path:
    """Fetch onnxruntime-web, unless it is there, and return its folder.

    Raises:
        BenchError: npm is missing or fails, or the archive is not the one that was tested.
    """
    folder = runtime_folder()
    if _missing_runtime() is None:
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise BenchError(f"{PACKAGE} comes from npm, which is not here: install Node.js (Debian: apt-get install npm)")
    with tempfile.TemporaryDirectory(prefix="odllm-npm-") as scratch:
        archive = _pack(npm, Path(scratch))
        check_archive(archive)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with write_folder(folder, overwrite=True) as staging, tarfile.open(archive) as package:
            for name in (*WASM_FILES, *WEBGPU_FILES):
                member = package.extractfile(f"package/dist/{name}")
                assert member is not None  # the archive is the one that was tested
                (staging / name).write_bytes(member.read())
    return folder


def check_archive(archive: Path) -> None:
    """Compare an archive of the package with the one that was tested.

    Raises:
        BenchError: it is another one.
    """
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise BenchError(
            f"{archive.name} is not the archive that was tested: its SHA-512 is {digest[:12]}…, "
            f"{INTEGRITY.removeprefix('sha512-')[:12]}… was expected. Is the package index to be trusted?"
        )


def _pack(npm: str, folder: Path) -> Path:
    found = subprocess.run(
        [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=folder, capture_output=True, text=True, check=False
    )
    archives = list(folder.glob("*.tgz"))
    if found.returncode or len(archives) != 1:
        said = " ".join(found.stderr.split())[-300:]
        raise BenchError(f"npm cannot fetch {PACKAGE} {VERSION} and said {said!r}. Is a package index within reach?")
    return archives[0]


def _missing_runtime() -> str | None:
    if all((runtime_folder() / name).is_file() for name in (*WASM_FILES, *WEBGPU_FILES)):
        return None
    return f"`odllm providers install wasm` fetches {PACKAGE}"


def _missing_playwright() -> str | None:
    if importlib.util.find_spec("playwright") is not None:
        return None
    return "`pip install 'odllm[browser]'` installs Playwright"


def _missing_chromium() -> str | None:
    if find_chromium() is not None:
        return None
    return f"install Chromium (Debian: apt-get install chromium) or name its program in ${CHROMIUM_VARIABLE}"
