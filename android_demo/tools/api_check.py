"""Do our classes use only what every supported Android has?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from android_demo.tools.api_levels import ApiLevels
from android_demo.tools.class_file import ClassFile, Member

_PLATFORM = ("java/", "javax/", "android/", "dalvik/")
_REWRITTEN = "java/lang/invoke/"
"""Lambdas of class files: D8 and R8 write classes of their own for them."""
_OBJECT = "java/lang/Object"
_NEWEST_KNOWN = 31


@dataclass(frozen=True, order=True)
class NewerUse:
    """Something used that older supported Androids lack.

    Attributes:
        user: the class that refers to it.
        used: what it refers to, as `android/os/Build.name`.
        level: the first API level that has it; 0 if no Android is known to have it.
    """

    user: str
    used: str
    level: int

    def __str__(self) -> str:
        since = f"since API {self.level}" if self.level else f"no Android up to API {_NEWEST_KNOWN} has it"
        return f"{self.user} uses {self.used}: {since}"


class ApiCheck:
    """Looks classes and members up along the hierarchy.

    Args:
        levels: what Android has since when.
        platform: classes of Java and of the framework's signatures, by name.
    """

    def __init__(self, levels: ApiLevels, platform: Mapping[str, ClassFile]) -> None:
        self._levels = levels
        self._platform = platform
        self._everywhere = {(each.name, each.descriptor) for each in platform[_OBJECT].declared}

    def newer_uses(self, classes: Iterable[ClassFile], min_sdk: int) -> list[NewerUse]:
        """Return what some classes use of Java or the framework and `min_sdk` lacks, sorted."""
        found = set()
        for user in classes:
            for name in filter(_is_platform, user.classes):
                found.add(NewerUse(user.name, name, self.class_level(name)))
            for member in user.members:
                if _is_platform(member.owner):
                    used = f"{member.owner}.{member.name}"
                    found.add(NewerUse(user.name, used, self.member_level(member)))
        return sorted(use for use in found if not 0 < use.level <= min_sdk)

    def class_level(self, name: str) -> int:
        """Return the first level that has a class; 0 if none is known to."""
        return self._levels.of_class(name) or 0

    def member_level(self, member: Member) -> int:
        """Return the first level that has a member in a class or one above it; 0 if none is known to."""
        if (member.name, member.descriptor) in self._everywhere:
            return self.class_level(member.owner)
        names = [member.owner, *ancestors(member.owner, self._platform)]
        levels = (self._levels.of_member(Member(name, member.name, member.descriptor)) for name in names)
        return min((level for level in levels if level is not None), default=0)


def ancestors(name: str, known: Mapping[str, ClassFile]) -> Iterator[str]:
    """Return the classes and interfaces above a class, as far as they are known; some may come twice."""
    for parent in known[name].parents if name in known else ():
        yield parent
        yield from ancestors(parent, known)


def _is_platform(name: str) -> bool:
    return name.startswith(_PLATFORM) and not name.startswith(_REWRITTEN)
