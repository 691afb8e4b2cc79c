"""Kotlin's and Java's compilers on the project's modules."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from android_demo.tools.toolchain import (
    classpath,
    jdk_program,
    kotlin_jars,
    kotlin_standard_library,
    run_java,
    run_tool,
)

BYTECODE = "1.8"
"""What D8 turns into dex for every Android that the app runs on, without rewriting newer calls."""

LANGUAGE = "2.1"
"""The oldest language level that the compiler still takes without a warning: users' stable compilers take it, too."""

JAVA_RELEASE = "8"
"""Whose classes sources may name; what Android lacks of them is found by another check."""
_KOTLIN = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def compile_kotlin(
    sources: Sequence[Path],
    libraries: Sequence[Path],
    into: Path,
    *,
    module: str,
    friends: Sequence[Path] = (),
    explicit_api: bool = False,
) -> None:
    """Compile Kotlin sources into class files.

    Args:
        sources: `.kt` files, and `.java` files that they refer to.
        libraries: jars and folders of classes; the standard library is added.
        into: a folder.
        module: the name that goes into internal members' names.
        explicit_api: whether what is public has to say so, with its type.
        friends: those of the libraries whose internals the sources may use, as tests may.

    Raises:
        ToolError: they do not compile.
    """
    options = ["-no-stdlib", "-no-reflect", "-jvm-target", BYTECODE, f"-Xjdk-release={BYTECODE}"]
    # Warnings end this build alone: Gradle's, on whoever's compiler and SDK, would fail for what nobody saw here.
    options += ["-language-version", LANGUAGE, "-api-version", LANGUAGE, "-Werror"]
    if explicit_api:
        options.append("-Xexplicit-api=strict")
    if friends:
        options.append(f"-Xfriend-paths={','.join(map(str, friends))}")
    options += ["-module-name", module, "-cp", classpath([*libraries, kotlin_standard_library()]), "-d", str(into)]
    run_java(kotlin_jars(), _KOTLIN, [*options, *map(str, sources)], f"compiling the Kotlin of {module}")


def compile_java(sources: Sequence[Path], libraries: Iterable[Path], into: Path, what: str) -> None:
    """Compile Java sources into class files.

    Raises:
        ToolError: they do not compile.
    """
    into.mkdir(parents=True, exist_ok=True)
    options = ["--release", JAVA_RELEASE, "-Xlint:-options", "-encoding", "UTF-8"]
    if path := classpath(libraries):
        options += ["-cp", path]
    run_tool([jdk_program("javac"), *options, "-d", str(into), *map(str, sources)], f"compiling the Java of {what}")


def write_jar(jar: Path, folders: Iterable[Path]) -> None:
    """Write all files of some folders into a jar, the same bytes for the same files."""
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as made:
        for folder in folders:
            for file in sorted(path for path in folder.glob("**/*") if path.is_file()):
                name = file.relative_to(folder).as_posix()
                made.writestr(zipfile.ZipInfo(name, _EARLIEST), file.read_bytes(), zipfile.ZIP_DEFLATED)
