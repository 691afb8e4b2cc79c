"""The whole build: from sources to APKs and an app bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_demo.tools import app_bundle, signing
from android_demo.tools.checks import check_modules
from android_demo.tools.dexing import dex_jars, dex_release, dex_runtime
from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.framework import framework_jar
from android_demo.tools.modules import APP, RECOMMENDER, compile_module, libraries_of
from android_demo.tools.package_file import Entry, entries_of, write_package
from android_demo.tools.packages import BUILD_PACKAGES, RUNTIME, fetch
from android_demo.tools.project import Project
from android_demo.tools.resources import link_resources
from android_demo.tools.settings import AppSettings, read_settings
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import require_jdk

DEBUG_ABIS = ("arm64-v8a", "x86_64")
"""Phones, and emulators on a PC."""


@dataclass(frozen=True)
class Built:
    """What a build made.

    Attributes:
        debug: an APK for `DEBUG_ABIS`, to which a debugger can attach.
        releases: an APK for each ABI, shrunk.
        bundle: the app bundle.
        mapping: R8's, from the release's names to the sources'.
    """

    debug: Path
    releases: dict[str, Path]
    bundle: Path
    mapping: Path

    @property
    def packages(self) -> list[Path]:
        """Every APK."""
        return [self.debug, *self.releases.values()]


def build(project: Project, steps: Steps, report: Callable[[str], None] = print) -> Built:
    """Build everything and return where it lies.

    Raises:
        AndroidBuildError: something is missing, or a tool refuses its input.
    """
    require_jdk()
    fetch(BUILD_PACKAGES, report)
    settings = read_settings(project)
    key = signing.debug_key(steps)
    jars = [compile_module(project, steps, name) for name in (RECOMMENDER, APP)]
    check_modules(project, steps, jars, settings)
    debug = _debug_package(project, steps, settings, jars, key)
    resources = link_resources(project, steps, settings, debuggable=False)
    framework = framework_jar(project, steps)
    dex = dex_release(project, steps, jars, framework, [resources.rules], settings)
    releases = {
        abi: _package(steps, f"{APP}-release-{abi}", resources.package, [dex], [abi], key, settings)
        for abi in settings.abis
    }
    return Built(debug, releases, _bundle(project, steps, settings, dex), dex / "mapping.txt")


def _debug_package(project: Project, steps: Steps, settings: AppSettings, jars: Sequence[Path], key: Path) -> Path:
    resources = link_resources(project, steps, settings, debuggable=True)
    ours = dex_jars(steps, "dex-debug", jars, libraries_of(project, steps, APP), settings)
    dex = [ours, dex_runtime(steps, settings)]
    return _package(steps, f"{APP}-debug", resources.package, dex, DEBUG_ABIS, key, settings)


def _package(
    steps: Steps, name: str, base: Path, dex: Sequence[Path], abis: Iterable[str], key: Path, settings: AppSettings
) -> Path:
    """Pack and sign one APK."""

    def make(folder: Path) -> None:
        unsigned = folder / "unsigned.apk"
        code = [Entry(name, path.read_bytes()) for name, path in _numbered(dex)]
        write_package(unsigned, [*entries_of(base), *code, *_libraries(abis)])
        signing.sign(unsigned, key, folder / f"{name}.apk", settings)
        unsigned.unlink()

    inputs = [base, *dex, key]
    return steps.run(name, inputs, [*abis, RUNTIME.sha256], make) / f"{name}.apk"


def _bundle(project: Project, steps: Steps, settings: AppSettings, dex: Path) -> Path:
    resources = link_resources(project, steps, settings, debuggable=False, for_bundle=True)

    def make(folder: Path) -> None:
        files = [path for _, path in _numbered([dex])]
        scratch = folder / "scratch"
        scratch.mkdir()
        app_bundle.write_bundle(folder / f"{APP}.aab", resources, files, _libraries(settings.abis), scratch)
        shutil.rmtree(scratch)

    inputs = [resources.package, dex]
    return steps.run(f"{APP}-bundle", inputs, [*settings.abis, RUNTIME.sha256], make) / f"{APP}.aab"


def _numbered(folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return dex files of some folders with their names in one APK: classes.dex, classes2.dex and so on."""
    files = [path for folder in folders for path in sorted(folder.glob("classes*.dex"))]
    return [(f"classes{number if number > 1 else ''}.dex", path) for number, path in enumerate(files, start=1)]


def _libraries(abis: Iterable[str]) -> list[Entry]:
    """Return the native libraries of some ABIs, uncompressed: Android maps them from the APK."""
    entries = []
    for abi in abis:
        folder = RUNTIME.folder / "jni" / abi
        if not folder.is_dir():
            raise AndroidBuildError(
                f"ONNX Runtime's Android archive has no libraries for {abi}; take it out of abiFilters"
            )
        for path in sorted(folder.glob("*.so")):
            entries.append(Entry(f"lib/{abi}/{path.name}", path.read_bytes(), compressed=False))
    return entries
