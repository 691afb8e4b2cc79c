"""Resources and the manifest through aapt2: the APK's first parts, class R, and rules for R8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from android_demo.tools.manifest import merge_manifests
from android_demo.tools.packages import RUNTIME
from android_demo.tools.project import Project
from android_demo.tools.settings import AppSettings
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import aapt2, framework_resources, run_tool

_FRAMEWORK_LEVEL, _FRAMEWORK_NAME = "34", "14"
"""Of the framework's resources here, which call themselves older than they are."""


@dataclass(frozen=True)
class Resources:
    """What aapt2 made.

    Attributes:
        folder: with all of it.
    """

    folder: Path

    @property
    def package(self) -> Path:
        """The APK of manifest, resources and assets; for a bundle, with protocol buffers instead of binary XML."""
        return self.folder / "package.apk"

    @property
    def sources(self) -> list[Path]:
        """The generated `R.java`."""
        return sorted((self.folder / "java").rglob("*.java"))

    @property
    def rules(self) -> Path:
        """Rules for R8: classes that the manifest and layouts name."""
        return self.folder / "aapt.pro"


def link_resources(
    project: Project, steps: Steps, settings: AppSettings, *, debuggable: bool, for_bundle: bool = False
) -> Resources:
    """Compile and link the app's resources.

    Args:
        project: whose `:app`.
        steps: keep what was made.
        settings: of the app.
        debuggable: whether debuggers may attach to the app.
        for_bundle: write protocol buffers, as app bundles have them, instead of Android's binary XML.

    Raises:
        AndroidBuildError: aapt2 or the manifest merger refuses something.
    """
    main = project.root / "app" / "src" / "main"
    manifest, resources, assets = main / "AndroidManifest.xml", main / "res", main / "assets"
    library = RUNTIME.folder / "AndroidManifest.xml"

    def make(folder: Path) -> None:
        merged = folder / "AndroidManifest.xml"
        merged.write_text(merge_manifests(manifest, [library], settings, debuggable=debuggable))
        run_tool(
            [aapt2(), "compile", "--dir", str(resources), "-o", str(folder / "compiled.zip")], "compiling resources"
        )
        link = [aapt2(), "link", "-I", str(framework_resources()), "--manifest", str(merged), "--auto-add-overlay"]
        link += ["--java", str(folder / "java"), "--proguard", str(folder / "aapt.pro")]
        link += ["--min-sdk-version", str(settings.min_sdk), "--target-sdk-version", str(settings.target_sdk)]
        link += ["--compile-sdk-version-code", _FRAMEWORK_LEVEL, "--compile-sdk-version-name", _FRAMEWORK_NAME]
        link += ["--proto-format"] if for_bundle else []
        link += ["-A", str(assets)] if assets.is_dir() else []
        run_tool([*link, "-o", str(folder / "package.apk"), str(folder / "compiled.zip")], "linking resources")

    kind = "bundle" if for_bundle else ("debug" if debuggable else "release")
    inputs = [manifest, library, resources, *([assets] if assets.is_dir() else [])]
    return Resources(steps.run(f"resources-{kind}", inputs, [repr(settings)], make))
