"""Since which Android a class, method or field is there: the database that R8 brings along.

It holds API levels 1 to 31 by a hash of what is asked for. Names whose hash is not their own alone are left out here:
nothing is then known of them. Source: R8 3.3, `androidapi` and the `hashCode` of its references.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

from android_demo.tools.class_file import Member
from android_demo.tools.errors import AndroidBuildError

_HASHES = "api_database/api_database_hash_lookup.ser"
_LEVELS = "api_database/api_database_api_level.ser"
_ARRAY_HEADER_BYTES = 27
"""Of a serialized Java array; its last four bytes are the length."""
_AMBIGUOUS = 255
_TYPE = re.compile(r"\[*(?:[BCDFIJSVZ]|L[^;]+;)")


class ApiLevels:
    """Answers since which API level something is there."""

    def __init__(self, bundletool: Path) -> None:
        with zipfile.ZipFile(bundletool) as opened:
            if _HASHES not in opened.namelist():
                raise AndroidBuildError(f"{bundletool} has no {_HASHES}: it is of another version than the tested one")
            hashes, levels = opened.read(_HASHES), opened.read(_LEVELS)
        count = len(levels) - _ARRAY_HEADER_BYTES
        self._levels = dict(
            zip(
                struct.unpack_from(f">{count}i", hashes, _ARRAY_HEADER_BYTES), levels[_ARRAY_HEADER_BYTES:], strict=True
            )
        )

    def of_class(self, name: str) -> int | None:
        """Return a class's level (`java/lang/String`), or None if nothing is known of it."""
        return self._level(_hash_text(f"L{name};"))

    def of_member(self, member: Member) -> int | None:
        """Return the level at which a class declares a field or method, or None if nothing is known of that."""
        owner, name = 7 * _hash_text(f"L{member.owner};"), 31 * _hash_text(member.name)
        if not member.is_method:
            return self._level(owner // 7 + 7 * _hash_text(member.descriptor) + name)
        parameters, _, result = member.descriptor[1:].partition(")")
        types = _TYPE.findall(parameters)
        shorty = "".join("L" if each[0] in "L[" else each for each in (result, *types))
        prototype = 7 * _hash_text(shorty) + 13 * _hash_text(result) + 31 * _hash_all(map(_hash_text, types))
        return self._level(owner + 29 * prototype + name)

    def _level(self, key: int) -> int | None:
        level = self._levels.get(_as_int32(key))
        return None if level == _AMBIGUOUS else level


def _hash_text(text: str) -> int:
    """Return R8's hash of a string: of its bytes in modified UTF-8 with a zero after them, and of its length."""
    content = (byte - 256 if byte > 127 else byte for byte in (*text.encode(), 0))
    return 7 * len(text) + _hash_all(content)


def _hash_all(values: Iterable[int]) -> int:
    """Return Java's `Arrays.hashCode`."""
    found = 1
    for value in values:
        found = _as_int32(31 * found + value)
    return found


def _as_int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31
