"""What a provider really runs on, on this host: hardware, or a program that stands in for it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mobile_bench.record import DeviceKind

_VULKAN_DRIVERS = "VK_ICD_FILENAMES"
_LIBRARIES = "LD_LIBRARY_PATH"
_X86 = ("x86_64", "AMD64", "i686")
_BROWSERS = ("/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome", "/snap/chromium/current")


def device_kind(provider: str) -> DeviceKind:
    """Return the kind of device that a provider runs on here.

    QNN's package emulates the NPU where there is no Snapdragon. Without a graphics processor, or with another Vulkan
    driver named, WebGPU runs on a driver that computes on the CPU.
    """
    if provider == "qnn" and platform.machine() in _X86:
        return "emulated-htp"
    if provider == "webgpu" and (_VULKAN_DRIVERS in os.environ or not has_gpu()):
        return "software-gpu"
    return "host"


def environment_of(provider: str) -> Mapping[str, str]:
    """Return the environment variables that a provider's process needs here beside those of this one."""
    if provider == "webgpu" and not has_gpu() and _VULKAN_DRIVERS not in os.environ:
        driver = next(_software_drivers(), None)
        if driver is None:
            return {}
        # The browser's folder holds the Vulkan loader, too; the system may have none.
        libraries = [str(driver.parent), *filter(None, [os.environ.get(_LIBRARIES)])]
        return {_VULKAN_DRIVERS: str(driver), _LIBRARIES: os.pathsep.join(libraries)}
    return {}


def has_gpu() -> bool:
    """Return whether this machine shows a graphics processor; other systems than Linux always do."""
    if not sys.platform.startswith("linux"):
        return True
    return any(Path("/dev/dri").glob("renderD*")) or any(map(os.path.exists, ("/dev/nvidia0", "/dev/dxg")))


def _software_drivers() -> Iterator[Path]:
    """Yield SwiftShader's Vulkan driver as browsers bring it."""
    folders = [Path(folder) for folder in _BROWSERS]
    folders += sorted((Path.home() / ".cache" / "ms-playwright").glob("chromium-*/chrome-linux*"))
    for folder in folders:
        if (found := folder / "vk_swiftshader_icd.json").is_file():
            yield found
