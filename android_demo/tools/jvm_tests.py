"""JUnit tests of the modules on this machine's JVM, with the Android build of ONNX Runtime loaded under glibc."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from android_demo.tools import android_library
from android_demo.tools.compilers import compile_java, compile_kotlin
from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.modules import MODULES, compile_module, libraries_of
from android_demo.tools.packages import RUNTIME, TEST_PACKAGES, fetch
from android_demo.tools.project import Module, Project
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import (
    classpath,
    jdk_program,
    junit_jars,
    kotlin_standard_library,
    require_jdk,
    run_tool,
)

BUNDLES_PROPERTY = "odllm.bundles"
"""Java's property with the folder of bundles that the tests open."""

_ABI = "x86_64"
_RUNNER = "org.junit.runner.JUnitCore"


def run_tests(
    project: Project, steps: Steps, modules: Sequence[str], bundles: Path | None, classes: Sequence[str] = ()
) -> str:
    """Compile modules with their tests, run these, and return what JUnit printed.

    Args:
        project: whose modules.
        steps: keep what was compiled.
        modules: names, as in `MODULES`.
        bundles: folder of bundles, handed to the tests.
        classes: full names of test classes; all that are called `…Test` if none.

    Raises:
        AndroidBuildError: something is missing, does not compile, or a test failed; the message has JUnit's words.
    """
    if not modules:
        raise AndroidBuildError(f"no module to test was named; there are {', '.join(MODULES)}")
    if bundles is not None and not bundles.is_dir():
        raise AndroidBuildError(f"{bundles} is not a folder: name one with bundles in it, or none")
    require_jdk()
    fetch(TEST_PACKAGES)
    return "".join(_run_module(project, steps, name, bundles, classes) for name in modules)


def loadable_runtime(steps: Steps) -> Path:
    """Return a folder with the Android build's libraries that a JVM on this machine can load.

    Raises:
        AndroidBuildError: this machine is no x86-64 Linux, or has no C compiler.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise AndroidBuildError(
            f"the Android build's libraries load on x86-64 Linux, not on {platform.machine()} {platform.system()}"
        )
    archive = RUNTIME.folder / "onnxruntime.aar"
    return steps.run(f"runtime-{_ABI}", [], [RUNTIME.sha256], lambda folder: _make_loadable(archive, folder))


def java_command(runtime: Path, jars: Sequence[Path], options: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Return the command of a JVM that can load ONNX Runtime, up to the class to run, and its environment.

    Args:
        runtime: as `loadable_runtime` returns it.
        jars: the classpath.
        options: further ones of the JVM.
    """
    java = [jdk_program("java"), "-XX:TieredStopAtLevel=1", f"-Donnxruntime.native.path={runtime}", *options]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(runtime), "ORT_DISABLE_TELEMETRY": "1"}
    return [*java, "-cp", classpath(jars)], environment


def _make_loadable(archive: Path, folder: Path) -> None:
    android_library.unpack(archive, _ABI, folder)


def _run_module(project: Project, steps: Steps, name: str, bundles: Path | None, classes: Sequence[str]) -> str:
    module = project.module(name)
    libraries = [compile_module(project, steps, name), *libraries_of(project, steps, name)]
    tests = _compile_tests(module, steps, libraries)
    chosen = classes or _test_classes(tests)
    if not chosen:
        raise AndroidBuildError(f"{module.folder}/src/test has no class called …Test")
    options = [] if bundles is None else [f"-D{BUNDLES_PROPERTY}={bundles.absolute()}"]
    jars = [tests, module.resource_folder("test"), *libraries, kotlin_standard_library(), *junit_jars()]
    command, environment = java_command(loadable_runtime(steps), jars, ["-ea", *options])
    return run_tool([*command, _RUNNER, *chosen], f"tests of :{name}", environment)


def _compile_tests(module: Module, steps: Steps, libraries: Sequence[Path]) -> Path:
    kotlin, java = module.sources("test", "kotlin"), module.sources("test", "java")
    used = [*libraries, *junit_jars()]

    def make(folder: Path) -> None:
        if kotlin:
            compile_kotlin([*kotlin, *java], used, folder, module=f"{module.name}_test", friends=libraries[:1])
        if java:
            compile_java(java, [*used, folder, kotlin_standard_library()], folder, f"{module.name}_test")

    return steps.run(f"{module.name}-test-classes", [*kotlin, *java, *libraries], [], make)


def _test_classes(folder: Path) -> list[str]:
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*Test.class"))
    return sorted(".".join(path.parts) for path in found if "$" not in path.name)
