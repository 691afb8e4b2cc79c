"""Kits of the native runner for tests: built once, kept in the cache of the loopback device's packages."""

import os
import shutil

import loopback_packages
import pytest
from filelock import FileLock

from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.phone.runner_build import HEADERS_VARIABLE, HOST, LINUX_ARM64, Kit, build_kit, find_kit, kits_folder


def host_kit() -> Kit:
    """Return the kit for this host, or skip where it cannot be built."""
    for program in ("cmake", "c++"):
        if shutil.which(program) is None:
            pytest.skip(f"the native runner needs {program} to be built")
    if loopback_packages.is_fetched():
        os.environ.setdefault(HEADERS_VARIABLE, str(loopback_packages.headers()))
    try:
        return _kit(HOST)
    except BenchError as error:
        if "onnxruntime_c_api.h is needed" in str(error):
            pytest.skip("ONNX Runtime's C header is not here: `make phone` fetches it")
        raise


def loopback_kit() -> Kit:
    """Return the kit for the loopback device."""
    return _kit(LINUX_ARM64, loopback_packages.runtime_wheel(), loopback_packages.headers())


def _kit(abi: str, *sources) -> Kit:
    kits_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(kits_folder() / f"{abi}.lock"):  # tests may run in several processes
        try:
            return find_kit(abi)
        except DeviceError:
            return build_kit(abi, *sources)
