"""Execution providers: what the runtime calls each, how it is asked for, and where it comes from.

A provider is either built into the installed onnxruntime or comes as a library in a package of its own, which is
registered before it is named. Asked for one that it does not have, the runtime warns and runs everything on the CPU:
so nothing is asked for here before it is known to be there.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import onnxruntime

from odllm_export.errors import BundleError


class Provider(msgspec.Struct, frozen=True):
    """An execution provider.

    Attributes:
        runtime_name: the runtime's name for it.
        options: given to it; `{threads}` stands for the number of threads, `{libraries}` for the folder of its library.
        plugins: modules that carry it as a library, the preferred one first; each has `get_library_path()`.
        missing: where it is to be had, if the installed onnxruntime does not have it.
        in_browser: only onnxruntime-web has it, in a page.
    """

    runtime_name: str
    options: Mapping[str, str] = {}
    plugins: tuple[str, ...] = ()
    missing: str = "`odllm providers install {name}` makes an environment that has it"
    in_browser: bool = False


_PAGES_ONLY = "only pages have it: `odllm bench` asks a browser for it, `odllm web` makes a page"
_PHONES_ONLY = "no package for this machine has it; phones have it in onnxruntime's own packages for {system}"

PROVIDERS: Mapping[str, Provider] = {
    "cpu": Provider("CPUExecutionProvider"),
    "xnnpack": Provider(
        "XnnpackExecutionProvider",
        {"intra_op_num_threads": "{threads}"},
        missing=_PHONES_ONLY.format(system="Android and iOS"),
    ),
    "webgpu": Provider("WebGpuExecutionProvider", plugins=("onnxruntime_ep_webgpu",)),
    "openvino": Provider("OpenVINOExecutionProvider", {"device_type": "CPU", "num_of_threads": "{threads}"}),
    # Snapdragon 8 Gen 2. Elsewhere than on a Snapdragon the package emulates it; the architecture must be named then.
    "qnn": Provider(
        "QNNExecutionProvider",
        {
            "backend_path": "{libraries}/libQnnHtp.so",
            "htp_arch": "73",
            "soc_model": "43",
            "enable_htp_fp16_precision": "1",
        },
        plugins=("onnxruntime_qnn",),
    ),
    "cuda": Provider("CUDAExecutionProvider"),
    "nnapi": Provider("NnapiExecutionProvider", missing=_PHONES_ONLY.format(system="Android")),
    "coreml": Provider("CoreMLExecutionProvider", missing=_PHONES_ONLY.format(system="iOS and macOS")),
    "wasm": Provider("CPUExecutionProvider", missing=_PAGES_ONLY, in_browser=True),
    "webgpu-browser": Provider("WebGpuExecutionProvider", missing=_PAGES_ONLY, in_browser=True),
}
"""By the name that the command line uses."""


def find_provider(name: str) -> Provider:
    """Return a provider by name.

    Raises:
        BundleError: there is none of that name.
    """
    if name not in PROVIDERS:
        raise BundleError(f"provider {name!r} is not one of {', '.join(PROVIDERS)}")
    return PROVIDERS[name]


def is_installed(name: str) -> bool:
    """Return whether this process can ask for a provider: whether it then takes a node only a profile tells."""
    provider = find_provider(name)
    if provider.in_browser:
        return False
    return provider.runtime_name in onnxruntime.get_available_providers() or _plugin(provider) is not None


def open_session(graph: Path, options: onnxruntime.SessionOptions, name: str) -> onnxruntime.InferenceSession:
    """Open a graph with a provider, and the CPU for what it does not take.

    Raises:
        BundleError: the provider is not installed, or finds no device.
    """
    provider = find_provider(name)
    asked: dict[str, Any] = {}
    plugin = _plugin(provider)
    if provider.in_browser:
        raise BundleError(f"provider {name!r} is not this process's: {provider.missing}")
    if plugin is not None:  # asked first: once registered, it is listed among the runtime's own
        _add_plugin(provider, plugin, options)
    elif provider.runtime_name in onnxruntime.get_available_providers():
        if name == "cuda":
            onnxruntime.preload_dlls()  # from NVIDIA's packages, where the system has none
        asked["providers"] = [(provider.runtime_name, _options(provider, options, Path()))]
    else:
        raise BundleError(
            f"the installed onnxruntime has no {provider.runtime_name}, and would silently run on the CPU instead: "
            + provider.missing.format(name=name)
        )
    # Without fallback: it would print on standard output and try the same once more.
    return onnxruntime.InferenceSession(str(graph), sess_options=options, enable_fallback=0, **asked)


def _plugin(provider: Provider) -> str | None:
    return next((name for name in provider.plugins if importlib.util.find_spec(name) is not None), None)


def _add_plugin(provider: Provider, plugin: str, options: onnxruntime.SessionOptions) -> None:
    library = Path(importlib.import_module(plugin).get_library_path())
    if not _devices(provider):  # a library may be registered once
        onnxruntime.register_execution_provider_library(provider.runtime_name, os.fspath(library))
    devices = _devices(provider)
    if not devices:
        raise BundleError(f"{plugin} finds no device for {provider.runtime_name} on this machine")
    options.add_provider_for_devices(devices[:1], _options(provider, options, library.parent))


def _devices(provider: Provider) -> list[Any]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == provider.runtime_name]


def _options(provider: Provider, options: onnxruntime.SessionOptions, libraries: Path) -> dict[str, str]:
    known = {"threads": options.intra_op_num_threads, "libraries": libraries}
    return {key: value.format(**known) for key, value in provider.options.items()}
