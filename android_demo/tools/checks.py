"""Checks of our modules' classes against what Android has, as a step of the build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from android_demo.tools.api_check import ApiCheck, NewerUse
from android_demo.tools.api_levels import ApiLevels
from android_demo.tools.class_file import read_jar
from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.framework import framework_jar
from android_demo.tools.java_platform import java_platform_jar
from android_demo.tools.packages import ANDROID_TOOLS
from android_demo.tools.project import Project
from android_demo.tools.settings import AppSettings
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import android_jar


def make_check(project: Project, steps: Steps) -> ApiCheck:
    """Return the check, with Java's classes and the framework's signatures."""
    platform = {**read_jar(java_platform_jar(steps)), **read_jar(framework_jar(project, steps))}
    return ApiCheck(ApiLevels(android_jar("bundletool")), platform)


def check_modules(project: Project, steps: Steps, jars: Sequence[Path], settings: AppSettings) -> None:
    """Check that our modules run on the oldest supported Android; classes in `guarded.txt` may use newer ones.

    Raises:
        AndroidBuildError: they use what it lacks, or a class is listed that does not.
    """
    guarded = _read_guarded(project.guarded)

    def make(folder: Path) -> None:
        check = make_check(project, steps)
        uses = [use for jar in jars for use in check.newer_uses(read_jar(jar).values(), settings.min_sdk)]
        if problems := [*_unguarded(uses, guarded), *_stale(uses, guarded, project.guarded)]:
            raise AndroidBuildError(f"minSdk is {settings.min_sdk}, and\n" + "\n".join(problems))

    inputs = [*jars, project.guarded, java_platform_jar(steps), framework_jar(project, steps)]
    steps.run("api-check", inputs, [str(settings.min_sdk), ANDROID_TOOLS.sha256], make)


def _unguarded(uses: Sequence[NewerUse], guarded: dict[str, int]) -> list[str]:
    return [str(use) for use in uses if not 0 < use.level <= guarded.get(use.user, 0)]


def _stale(uses: Sequence[NewerUse], guarded: dict[str, int], path: Path) -> list[str]:
    newest: dict[str, int] = {}
    for use in uses:
        newest[use.user] = max(newest.get(use.user, 0), use.level)
    return [
        f"{path.name} lists {user} with API {level}, and it uses {f'API {newest[user]}' if user in newest else 'none'}"
        for user, level in guarded.items()
        if newest.get(user) != level
    ]


def _read_guarded(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return {user: int(level) for user, level in lines}
