"""The app's benchmark worker on this machine's JVM, with the Android build of ONNX Runtime under glibc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from android_demo.tools import compilers, jvm_tests, modules, packages, project, toolchain
from android_demo.tools.errors import AndroidBuildError, ToolError
from android_demo.tools.steps import Steps
from mobile_bench.device import host_conditions, host_device
from mobile_bench.line_process import LineProcess
from mobile_bench.protocol import InspectReply
from mobile_bench.record import Conditions, Device, DeviceKind
from odllm_artifact import Progress
from odllm_export.bundle import Manifest

_MAIN = "org.odllm.recommender.bench.BenchMain"


@dataclass(frozen=True)
class JvmWorker:
    """How the worker is started.

    Attributes:
        command: that answers lines of standard input; with two files behind it, the lines of the first in the second.
        environment: of the process.
    """

    command: list[str]
    environment: Mapping[str, str]


def jvm_worker() -> JvmWorker:
    """Return the compiled worker, or skip where it cannot be compiled or run."""
    if not packages.is_fetched([packages.KOTLIN, packages.RUNTIME]):
        pytest.skip("the app's compiler and runtime were not fetched: `python -m android_demo.tools fetch` does it")
    try:
        toolchain.require_jdk()
        steps = Steps(project.OUTPUTS, report=lambda _: None)
        runtime = jvm_tests.loadable_runtime(steps)
        library = modules.compile_module(project.Project(), steps, modules.RECOMMENDER)
        main = Path(project.ROOT, "recommender/src/test/kotlin", f"{_MAIN.replace('.', '/')}.kt")

        def compile_main(folder: Path) -> None:
            jars = [library, toolchain.runtime_classes()]
            compilers.compile_kotlin([main], jars, folder, module="bench_main", friends=[library])

        classes = steps.run("bench-main", [main, library], [], compile_main)
    except ToolError:
        raise
    except AndroidBuildError as error:
        pytest.skip(str(error))
    jars = [classes, library, toolchain.runtime_classes(), toolchain.kotlin_standard_library()]
    command, environment = jvm_tests.java_command(runtime, jars)
    return JvmWorker([*command, _MAIN], environment)


@dataclass(frozen=True)
class JvmHostTarget:
    """This host, measured by the app's worker: bundles are where they are.

    Its times are this host's, as those of the native runner here are, and no phone's.

    Attributes:
        worker: how it is started.
    """

    worker: JvmWorker
    kind: DeviceKind = "host"
    key: str = "jvm"
    reference_provider: str = "cpu"

    def __hash__(self) -> int:
        return hash(self.key)

    def install(self, folder: Path, manifest: Manifest) -> None:
        """Do nothing: the bundle is on this host."""

    def path_of(self, folder: Path, manifest: Manifest) -> str:
        """Return the bundle's own path."""
        return str(folder)

    def start_worker(self, name: str) -> LineProcess:
        """Start a fresh JVM."""
        return LineProcess(name, self.worker.command, self.worker.environment)

    def device(self, inspected: InspectReply) -> Device:
        """Return what this host says about itself."""
        found = host_device(self.kind, inspected.onnxruntime, inspected.runtime_build)
        return msgspec.structs.replace(found, python=None)

    def conditions(self) -> Conditions:
        """Return how this host is at this moment."""
        return host_conditions()

    def get_ready(self, progress: Progress) -> None:
        """Do nothing: this host is as it is."""

    def energy_meter(self) -> None:
        """Return that nothing measures energy here."""
