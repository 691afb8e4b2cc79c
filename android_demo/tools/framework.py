"""Signatures of the part of Android's framework that the app uses, in place of an SDK's android.jar.

The Java sources under `framework/` are compiled against and never packed: on a phone the real classes are there.
"""

from __future__ import annotations

from pathlib import Path

from android_demo.tools.compilers import compile_java, write_jar
from android_demo.tools.project import Project
from android_demo.tools.steps import Steps


def framework_jar(project: Project, steps: Steps) -> Path:
    """Compile the signatures and return a jar of them.

    Raises:
        ToolError: they do not compile.
    """
    sources = sorted(project.framework.rglob("*.java"))

    def make(folder: Path) -> None:
        compile_java(sources, [], folder / "classes", "the framework's signatures")
        write_jar(folder / "framework.jar", [folder / "classes"])

    return steps.run("framework", sources, [], make) / "framework.jar"
