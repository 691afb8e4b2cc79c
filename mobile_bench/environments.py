"""Python environments of execution providers whose packages cannot lie beside ours.

Every package with a provider of its own brings an `onnxruntime` of its own version, and only one can be installed at a
time. So each gets a virtual environment with that and what our measuring process imports; our code itself is not
installed there (`mobile_bench.foreign`), and can therefore not be older than what starts it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mobile_bench.browser import runtime as browser_runtime
from mobile_bench.errors import BenchError
from mobile_bench.provider_state import ProviderState, environments_folder
from odllm_artifact import read_json, write_json
from odllm_export.providers import find_provider, is_installed

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "webgpu": ("onnxruntime-webgpu==1.27.0",),
    "openvino": ("onnxruntime-openvino==1.24.1",),
    "qnn": ("onnxruntime==1.30.0", "onnxruntime-qnn==2.7.0"),
    "cuda": ("onnxruntime-gpu[cuda,cudnn]==1.31.1",),
}
"""What an environment gets, by provider; tried together, so the versions are fixed."""

_BESIDE = ("msgspec", "numpy", "psutil")
"""What the measuring process imports, in the versions that are installed here."""

_MARKER = "odllm.json"


def provider_state(name: str) -> ProviderState:
    """Return where a provider is to be had.

    Raises:
        BundleError: there is none of that name.
    """
    provider = find_provider(name)
    missing = provider.missing.format(name=name)
    if provider.in_browser:
        return browser_runtime.provider_state(name)
    if is_installed(name):
        return ProviderState(name, "installed", "")
    if name not in REQUIREMENTS:
        return ProviderState(name, "elsewhere", missing)
    if _python(name) is not None:
        return ProviderState(name, "environment", str(environments_folder() / name))
    return ProviderState(name, "installable", missing)


def python_for(name: str) -> Path:
    """Return the Python whose onnxruntime has a provider.

    Raises:
        BenchError: none has.
    """
    if is_installed(name):
        return Path(sys.executable)
    python = _python(name)
    if python is None:
        raise BenchError(f"provider {name!r} is not installed: {provider_state(name).where}")
    return python


def install(name: str) -> Path:
    """Make the environment of a provider, unless it is there, and return its folder.

    Raises:
        BenchError: no package has the provider, or it cannot be installed; nothing is left of the attempt then.
    """
    if find_provider(name).in_browser:
        return browser_runtime.install()
    state = provider_state(name)
    folder = environments_folder() / name
    if state.state == "elsewhere":
        raise BenchError(f"provider {name!r} cannot be installed: {state.where}")
    if _python(name) is not None:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    beside = [f"{package}=={importlib.metadata.version(package)}" for package in _BESIDE]
    python = _python_path(folder)
    try:
        _run([sys.executable, "-m", "venv", str(folder)], name)
        _run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name], *beside], name)
        write_json(folder / _MARKER, {"requirements": REQUIREMENTS[name]})
    finally:
        if not (folder / _MARKER).is_file():
            shutil.rmtree(folder, ignore_errors=True)
    return folder


def remove(name: str) -> None:
    """Remove the environment of a provider.

    Raises:
        BenchError: it has none.
    """
    in_browser = find_provider(name).in_browser
    folder = browser_runtime.runtime_folder() if in_browser else environments_folder() / name
    if not (in_browser or name in REQUIREMENTS) or not folder.is_dir():
        raise BenchError(f"provider {name!r} has no environment in {environments_folder()}")
    shutil.rmtree(folder)


def _python(name: str) -> Path | None:
    """Return the Python of a whole environment with what this version wants in it, if there is one."""
    folder = environments_folder() / name
    marker, python = folder / _MARKER, _python_path(folder)
    if not marker.is_file() or not python.exists():
        return None
    return python if tuple(read_json(marker).get("requirements", ())) == REQUIREMENTS[name] else None


def _python_path(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(command: list[str], name: str) -> None:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        said = json.dumps(found.stderr.strip().splitlines()[-1:], ensure_ascii=False)
        raise BenchError(
            f"the environment of provider {name!r} cannot be made: {' '.join(command[1:4])} … failed and said {said}. "
            "Is a package index within reach?"
        )
