"""The programs of the build: the machine's JDK, and what runs on it out of the fetched packages."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from android_demo.tools.errors import AndroidBuildError, ToolError
from android_demo.tools.packages import AAPT2, ANDROID_TOOLS, HAMCREST, JUNIT, KOTLIN, RUNTIME

_LEAST_JDK = 17
_INSTALL_JDK = f"install a JDK of version {_LEAST_JDK} or newer (Debian: apt-get install openjdk-17-jdk-headless)"


def jdk_program(name: str) -> str:
    """Return a program of the JDK: of `$JAVA_HOME`, or the first on the path.

    Raises:
        AndroidBuildError: it is not there.
    """
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / name).is_file():
        return str(Path(home) / "bin" / name)
    found = shutil.which(name)
    if found is None:
        raise AndroidBuildError(f"{name} is not here: {_INSTALL_JDK}, or name its folder in JAVA_HOME")
    return found


def jdk_home() -> Path:
    """Return the JDK's folder, in which D8 and R8 find Java's own classes."""
    said = run_tool([jdk_program("java"), "-XshowSettings:properties", "-version"], "asking for the JDK's folder")
    found = re.search(r"java\.home = (.+)", said)
    if found is None:
        raise AndroidBuildError(f"{jdk_program('java')} does not say where it lies: {_INSTALL_JDK}")
    return Path(found[1].strip())


def require_jdk() -> None:
    """Check that there is a JDK, new enough.

    Raises:
        AndroidBuildError: there is none, or an older one.
    """
    for name in ("java", "javac", "keytool"):
        jdk_program(name)
    said = subprocess.run([jdk_program("javac"), "-version"], capture_output=True, text=True, check=False)
    version = re.search(r"javac (\d+)", said.stdout + said.stderr)
    if version is None or int(version[1]) < _LEAST_JDK:
        found = " ".join((said.stdout + said.stderr).split())
        raise AndroidBuildError(f"{jdk_program('javac')} calls itself {found!r}: {_INSTALL_JDK}")


def kotlin_jars() -> list[Path]:
    """Return the compiler's classpath."""
    return sorted((KOTLIN.folder / "run_kotlin_kernel" / "jars").glob("*.jar"))


def kotlin_standard_library() -> Path:
    """Return the jar that programs in Kotlin need."""
    return next(jar for jar in kotlin_jars() if jar.name.startswith("kotlin-stdlib-"))


def kotlin_annotations() -> Path:
    """Return the jar of annotations that the compiler writes into class files, which nothing needs when it runs."""
    return next(jar for jar in kotlin_jars() if jar.name.startswith("annotations-"))


def runtime_classes() -> Path:
    """Return `ai.onnxruntime` of the Android archive."""
    return RUNTIME.folder / "classes.jar"


def junit_jars() -> list[Path]:
    """Return JUnit 4 and what it needs."""
    return [JUNIT.folder / "junit4.jar", HAMCREST.folder / "hamcrest-2.2.jar"]


def android_jar(name: str) -> Path:
    """Return `bundletool` (with D8 and R8 in it) or `apksigner`."""
    return ANDROID_TOOLS.folder / f"{name}.jar"


def framework_resources() -> Path:
    """Return Android's own resources, which an app's refer to (API 34's)."""
    return ANDROID_TOOLS.folder / "framework-resources.apk"


def aapt2() -> str:
    """Return the resource compiler.

    Raises:
        AndroidBuildError: there is none for this operating system.
    """
    if platform.system() not in AAPT2:
        raise AndroidBuildError(f"no aapt2 for {platform.system()}: build on {' or '.join(AAPT2)}")
    program = ANDROID_TOOLS.folder / platform.system() / "aapt2"
    program.chmod(0o755)  # out of a jar, which has no such thing
    return str(program)


def classpath(jars: Iterable[Path]) -> str:
    """Return jars and folders as Java wants them."""
    return os.pathsep.join(map(str, jars))


def run_java(jars: Iterable[Path], main: str, arguments: Sequence[str], what: str) -> str:
    """Run a class of some jars and return what it printed.

    Raises:
        ToolError: it failed; the message has what it printed.
    """
    java = [jdk_program("java"), "-Xmx1500m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return run_tool([*java, "-cp", classpath(jars), main, *arguments], what)


def run_tool(command: Sequence[str], what: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it printed.

    Args:
        command: the program and its arguments.
        what: it does, for the message.
        environment: of the program; ours if not given.

    Raises:
        ToolError: it failed; the message has what it printed.
    """
    found = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if found.returncode:
        said = found.stdout.partition("\nException in thread")[0]  # after it comes the tool's own stack
        raise ToolError(f"{what}: {Path(command[0]).name} ended with {found.returncode} and said\n{said}")
    return found.stdout
