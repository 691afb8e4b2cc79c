"""What the Gradle project says that another build needs, too: read from its files, so that both agree."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.project import Project

CATALOGUE = Path("gradle") / "libs.versions.toml"
APP_BUILD = Path("app") / "build.gradle.kts"


@dataclass(frozen=True)
class AppSettings:
    """Facts of the app.

    Attributes:
        application_id: the installed app's name; also the package of its classes.
        version_code: the number that stores compare.
        version_name: the version that users see.
        min_sdk: the oldest Android that runs it, as an API level.
        target_sdk: the newest Android that it was made for, as an API level.
        abis: kinds of processors that it has native libraries for.
        runtime_version: of ONNX Runtime.
    """

    application_id: str
    version_code: int
    version_name: str
    min_sdk: int
    target_sdk: int
    abis: tuple[str, ...]
    runtime_version: str


def read_settings(project: Project) -> AppSettings:
    """Read the version catalogue and the app's build file.

    Raises:
        AndroidBuildError: a file or a value is missing.
    """
    versions = read_catalogue(project)["versions"]
    path = project.root / APP_BUILD
    text = _read(path)
    application_id = _value(text, r'applicationId = "([\w.]+)"', path)
    if (namespace := _value(text, r'namespace = "([\w.]+)"', path)) != application_id:
        raise AndroidBuildError(f"{path} has namespace {namespace} and applicationId {application_id}: make them equal")
    return AppSettings(
        application_id=application_id,
        version_code=int(_value(text, r"versionCode = (\d+)", path)),
        version_name=_value(text, r'versionName = "([^"]+)"', path),
        min_sdk=int(versions["minSdk"]),
        target_sdk=int(versions["targetSdk"]),
        abis=tuple(re.findall(r'"([^"]+)"', _value(text, r"abiFilters \+= listOf\(([^)]+)\)", path))),
        runtime_version=versions["onnxruntime"],
    )


def read_catalogue(project: Project) -> dict[str, dict[str, str]]:
    """Return the version catalogue's tables: `versions`, `libraries`, `plugins`.

    Raises:
        AndroidBuildError: it is missing or no TOML.
    """
    path = project.root / CATALOGUE
    try:
        return tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise AndroidBuildError(f"{path} is no TOML: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise AndroidBuildError(f"cannot read {path}: {error.strerror}") from error


def _value(text: str, pattern: str, path: Path) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise AndroidBuildError(f"{path} has nothing like /{pattern}/, which the build without an SDK reads there")
    return found[1]
