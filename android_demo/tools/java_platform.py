"""Java's own classes of release 8, as D8 and R8 want them: out of the JDK's record of what each release had."""

from __future__ import annotations

import zipfile
from pathlib import Path

from android_demo.tools.compilers import JAVA_RELEASE
from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import jdk_home

_RECORD = Path("lib") / "ct.sym"
"""Class files without code, as `RELEASES/MODULE/java/lang/String.sig`; RELEASES has a letter for each release."""


def java_platform_jar(steps: Steps) -> Path:
    """Return a jar of Java 8's classes without code.

    Android has most of them, and some of later releases. The newer JDK's own would be no help: R8 does not read all of
    them.

    Raises:
        AndroidBuildError: the JDK has no record of former releases.
    """
    record = jdk_home() / _RECORD
    if not record.is_file():
        raise AndroidBuildError(f"{record} is not there, from which Java 8's classes are taken: use a whole JDK")

    def make(folder: Path) -> None:
        with zipfile.ZipFile(record) as opened, zipfile.ZipFile(folder / "java.jar", "w") as jar:
            for name in opened.namelist():
                releases, _, path = name.split("/", 2) if name.count("/") > 1 else ("", "", "")
                if JAVA_RELEASE in releases and path.endswith(".sig"):
                    jar.writestr(f"{path.removesuffix('.sig')}.class", opened.read(name))

    return steps.run("java-platform", [record], [], make) / "java.jar"
