"""APK files as ZIP archives: written with every uncompressed entry where Android wants it, and looked at.

Source: developer.android.com, "zipalign" and "Support 16 KB page sizes"; PKWARE's APPNOTE 4.3.7 (local file header).
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LIBRARY_ALIGNMENT_BYTES = 16384
"""Of native libraries, which are mapped from the APK: the largest page of any Android phone."""
ALIGNMENT_BYTES = 4
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER_BYTES = 30
_PADDING_FIELD = 0xD935
"""The extra field that Android's own tools align with."""
_FIELD_HEADER_BYTES = 6


@dataclass(frozen=True)
class Entry:
    """One file to be packed.

    Attributes:
        name: in the archive.
        content: its bytes.
        compressed: whether they are deflated; what Android maps into memory may not be.
    """

    name: str
    content: bytes
    compressed: bool = True


def entries_of(package: Path) -> list[Entry]:
    """Return the files of an archive, compressed or not as they are there."""
    with zipfile.ZipFile(package) as opened:
        return [
            Entry(info.filename, opened.read(info), info.compress_type != zipfile.ZIP_STORED)
            for info in opened.infolist()
        ]


def write_package(path: Path, entries: Iterable[Entry]) -> None:
    """Write an archive, the same bytes for the same entries, with uncompressed ones aligned."""
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, _EARLIEST)
            info.compress_type = zipfile.ZIP_DEFLATED if entry.compressed else zipfile.ZIP_STORED
            if not entry.compressed:
                info.extra = _padding(
                    file.tell() + _LOCAL_HEADER_BYTES + len(entry.name.encode()), alignment(entry.name)
                )
            archive.writestr(info, entry.content)


def alignment(name: str) -> int:
    """Return what an uncompressed entry's place in the file must be a multiple of, in bytes."""
    return LIBRARY_ALIGNMENT_BYTES if name.endswith(".so") else ALIGNMENT_BYTES


def content_places(package: Path) -> dict[str, int]:
    """Return where the content of every uncompressed entry begins in the file."""
    places = {}
    with zipfile.ZipFile(package) as opened, package.open("rb") as file:
        for info in opened.infolist():
            if info.compress_type == zipfile.ZIP_STORED:
                file.seek(info.header_offset)
                name_bytes, extra_bytes = struct.unpack("<26xHH", file.read(_LOCAL_HEADER_BYTES))
                places[info.filename] = info.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    return places


def _padding(place: int, multiple: int) -> bytes:
    """Return an extra field after which content that would begin at `place` begins at a multiple."""
    zeros = -(place + _FIELD_HEADER_BYTES) % multiple
    return struct.pack("<HHH", _PADDING_FIELD, 2 + zeros, multiple) + bytes(zeros)
