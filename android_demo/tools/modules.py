"""The project's modules compiled: what depends on what."""

from __future__ import annotations

import shutil
from pathlib import Path

from android_demo.tools.compilers import BYTECODE, LANGUAGE, compile_java, compile_kotlin, write_jar
from android_demo.tools.framework import framework_jar
from android_demo.tools.project import Project
from android_demo.tools.resources import link_resources
from android_demo.tools.settings import read_settings
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import runtime_classes

RECOMMENDER = "recommender"
APP = "app"
MODULES = (RECOMMENDER, APP)


def libraries_of(project: Project, steps: Steps, name: str) -> list[Path]:
    """Return what a module is compiled against, Kotlin's standard library aside.

    Raises:
        AndroidBuildError: a module that it needs does not compile.
    """
    if name == RECOMMENDER:
        return [runtime_classes()]
    return [compile_module(project, steps, RECOMMENDER), runtime_classes(), framework_jar(project, steps)]


def compile_module(project: Project, steps: Steps, name: str) -> Path:
    """Compile a module's main sources and return a jar of its classes and resources.

    Raises:
        AndroidBuildError: they do not compile.
    """
    module = project.module(name)
    kotlin, libraries = module.sources("main", "kotlin"), libraries_of(project, steps, name)
    generated = _generated_sources(project, steps) if name == APP else []

    def make(folder: Path) -> None:
        classes = folder / "classes"
        if generated:
            compile_java(generated, [], classes, f"{name} (generated)")
        seen = [*libraries, classes] if generated else libraries
        compile_kotlin(kotlin, seen, classes, module=name, explicit_api=name == RECOMMENDER)
        write_jar(folder / f"{name}.jar", [classes, module.resource_folder("main")])
        shutil.rmtree(classes)

    inputs = [*kotlin, *generated, *module.resources("main"), *libraries]
    return steps.run(f"{name}-classes", inputs, [BYTECODE, LANGUAGE], make) / f"{name}.jar"


def _generated_sources(project: Project, steps: Steps) -> list[Path]:
    """Return class R, the same in every kind of build."""
    return link_resources(project, steps, read_settings(project), debuggable=False).sources
