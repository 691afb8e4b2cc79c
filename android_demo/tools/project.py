"""Where the Gradle project has what, for a build that is not Gradle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from android_demo.tools.errors import AndroidBuildError

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = ROOT / "build-without-sdk"


@dataclass(frozen=True)
class Module:
    """One module of the Gradle project.

    Attributes:
        name: as in `settings.gradle.kts`, without the colon.
        folder: with `src`.
    """

    name: str
    folder: Path

    def sources(self, set_name: str, language: str) -> list[Path]:
        """Return the files of a source set (`main`, `test`) in `kotlin` or `java`, sorted."""
        folder = self.folder / "src" / set_name
        suffix = {"kotlin": ".kt", "java": ".java"}[language]
        return sorted(path for path in folder.glob("*/**/*") if path.suffix == suffix)

    def resources(self, set_name: str) -> list[Path]:
        """Return the files that go into the module's jar as they are, sorted."""
        return sorted(path for path in self.resource_folder(set_name).glob("**/*") if path.is_file())

    def resource_folder(self, set_name: str) -> Path:
        """Return the folder of those files."""
        return self.folder / "src" / set_name / "resources"


@dataclass(frozen=True)
class Project:
    """The Gradle project.

    Attributes:
        root: the folder with `settings.gradle.kts`.
    """

    root: Path = ROOT

    @property
    def framework(self) -> Path:
        """Java sources with the signatures of Android's framework."""
        return self.root / "tools" / "framework"

    @property
    def guarded(self) -> Path:
        """Classes of ours that may use newer Android than the oldest supported one."""
        return self.root / "tools" / "guarded.txt"

    def module(self, name: str) -> Module:
        """Return a module that has sources.

        Raises:
            AndroidBuildError: it has none.
        """
        module = Module(name, self.root / name)
        if not module.sources("main", "kotlin"):
            raise AndroidBuildError(f"{module.folder} has no Kotlin sources under src/main/kotlin")
        return module
