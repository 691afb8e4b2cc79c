"""Dex files: which classes are in them.

Source: source.android.com, "Dalvik executable format".
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from android_demo.tools.errors import AndroidBuildError

_MAGIC = b"dex\n"
_HEADER_BYTES = 112
_STRINGS, _TYPES, _CLASSES = 56, 64, 96
"""Places in the header of a table's count of entries and of its place."""
_CLASS_BYTES = 32


def read_dex_classes(content: bytes, where: str) -> list[str]:
    """Return the classes that a dex file defines, as `java/lang/String`, in its order.

    Args:
        content: of the file.
        where: it came from, for the message.

    Raises:
        AndroidBuildError: it is no dex file.
    """
    if len(content) < _HEADER_BYTES or not content.startswith(_MAGIC):
        raise AndroidBuildError(f"{where} is no dex file")
    (_, strings), (_, types) = _table(content, _STRINGS), _table(content, _TYPES)
    count, classes = _table(content, _CLASSES)
    names = []
    for number in range(count):
        (type_number,) = struct.unpack_from("<I", content, classes + _CLASS_BYTES * number)
        (string_number,) = struct.unpack_from("<I", content, types + 4 * type_number)
        (place,) = struct.unpack_from("<I", content, strings + 4 * string_number)
        names.append(_text(content, place).removeprefix("L").removesuffix(";"))
    return names


def package_classes(package: Path) -> set[str]:
    """Return the classes in all dex files of an APK.

    Raises:
        AndroidBuildError: one of them is no dex file.
    """
    with zipfile.ZipFile(package) as opened:
        names = [name for name in opened.namelist() if name.endswith(".dex")]
        return {each for name in names for each in read_dex_classes(opened.read(name), f"{package}: {name}")}


def _table(content: bytes, place: int) -> tuple[int, int]:
    count, begin = struct.unpack_from("<II", content, place)
    return count, begin


def _text(content: bytes, place: int) -> str:
    """Return a string: its length in characters as a LEB128 number, its bytes, a zero."""
    while content[place] & 0x80:
        place += 1
    begin = place + 1
    return content[begin : content.index(0, begin)].decode("utf-8", "surrogatepass")
