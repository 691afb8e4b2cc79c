"""Class files into Android's bytecode: D8 for a debug build, R8 (shrunk and renamed) for a release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from android_demo.tools.java_platform import java_platform_jar
from android_demo.tools.packages import ANDROID_TOOLS, RUNTIME
from android_demo.tools.project import Project
from android_demo.tools.settings import AppSettings
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import (
    android_jar,
    kotlin_annotations,
    kotlin_standard_library,
    run_java,
    runtime_classes,
)

_D8 = "com.android.tools.r8.D8"
_R8 = "com.android.tools.r8.R8"
_FRAMEWORK_RULE = "-dontwarn android.**\n"
"""The framework's signatures are those that our modules use; ONNX Runtime's archive refers to others, too."""
APP_RULES = Path("app") / "proguard-rules.pro"


def dex_jars(
    steps: Steps, name: str, jars: Sequence[Path], seen: Sequence[Path], settings: AppSettings, *, debug: bool = True
) -> Path:
    """Turn jars into dex files, nothing removed or renamed.

    Args:
        steps: keep what was made.
        name: of the step.
        jars: to be turned.
        seen: jars that they refer to and that are turned elsewhere.
        settings: of the app.
        debug: keep what a debugger asks for.

    Returns:
        A folder with `classes.dex`, `classes2.dex` and so on.

    Raises:
        ToolError: D8 refuses a class.
    """
    platform = java_platform_jar(steps)
    options = ["--debug" if debug else "--release", "--min-api", str(settings.min_sdk), "--lib", str(platform)]
    for jar in seen:
        options += ["--classpath", str(jar)]

    def make(folder: Path) -> None:
        words = [*options, "--output", str(folder), *map(str, jars)]
        run_java([android_jar("bundletool")], _D8, words, f"D8 of {name}")

    return steps.run(name, [*jars, *seen, platform], [str(settings.min_sdk), ANDROID_TOOLS.sha256], make)


def dex_runtime(steps: Steps, settings: AppSettings) -> Path:
    """Turn what no source of ours changes into dex files: Kotlin's standard library and ONNX Runtime's classes."""
    jars = [kotlin_standard_library(), runtime_classes()]
    return dex_jars(steps, "dex-libraries", jars, [], settings)


def dex_release(
    project: Project, steps: Steps, jars: Sequence[Path], framework: Path, rules: Sequence[Path], settings: AppSettings
) -> Path:
    """Shrink, rename and turn the whole program into dex files, by the app's rules and those that jars bring along.

    Args:
        project: whose rules say what must stay.
        steps: keep what was made.
        jars: of our modules.
        framework: Android's signatures.
        rules: that aapt2 wrote.
        settings: of the app.

    Returns:
        A folder with `classes.dex` and `mapping.txt`.

    Raises:
        ToolError: R8 misses a class, or refuses one.
    """
    every_rule = [*rules, RUNTIME.folder / "proguard.txt", project.root / APP_RULES]
    program = [*jars, runtime_classes(), kotlin_standard_library()]
    return shrink(steps, "dex-release", program, [framework], every_rule, settings)


def shrink(
    steps: Steps,
    name: str,
    program: Sequence[Path],
    seen: Sequence[Path],
    rules: Sequence[Path],
    settings: AppSettings,
) -> Path:
    """Run R8 on some jars.

    Args:
        steps: keep what was made.
        name: of the step.
        program: jars to be shrunk and turned into dex files.
        seen: jars that they refer to, besides Java's own.
        rules: files of what must stay.
        settings: of the app.

    Returns:
        A folder with `classes.dex` and `mapping.txt`.

    Raises:
        ToolError: R8 misses a class, or refuses one.
    """
    seen = [java_platform_jar(steps), kotlin_annotations(), *seen]
    options = ["--release", "--min-api", str(settings.min_sdk)]
    for library in seen:
        options += ["--lib", str(library)]
    for path in rules:
        options += ["--pg-conf", str(path)]

    def make(folder: Path) -> None:
        (folder / "framework.pro").write_text(_FRAMEWORK_RULE)
        own = ["--pg-conf", str(folder / "framework.pro"), "--pg-map-output", str(folder / "mapping.txt")]
        words = [*options, *own, "--output", str(folder), *map(str, program)]
        run_java([android_jar("bundletool")], _R8, words, f"R8 of {name}")

    return steps.run(name, [*program, *seen, *rules], [str(settings.min_sdk), ANDROID_TOOLS.sha256], make)
