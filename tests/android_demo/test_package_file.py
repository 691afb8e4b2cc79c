import struct
import zipfile

import pytest

from android_demo.tools.package_file import (
    ALIGNMENT_BYTES,
    LIBRARY_ALIGNMENT_BYTES,
    Entry,
    content_places,
    entries_of,
    write_package,
)

ENTRIES = [
    Entry("AndroidManifest.xml", b"manifest" * 9),
    Entry("résources.arsc", b"table" * 7, compressed=False),
    Entry("lib/arm64-v8a/libone.so", b"\x7fELF" + bytes(50_001), compressed=False),
    Entry("lib/arm64-v8a/libtwo.so", b"\x7fELF two", compressed=False),
]


@pytest.fixture
def package(tmp_path):
    path = tmp_path / "app.apk"
    write_package(path, ENTRIES)
    return path


def test_uncompressed_libraries_begin_at_pages_and_others_at_words(package):
    places = content_places(package)
    assert set(places) == {entry.name for entry in ENTRIES[1:]}
    assert [place % LIBRARY_ALIGNMENT_BYTES for name, place in places.items() if name.endswith(".so")] == [0, 0]
    assert places["résources.arsc"] % ALIGNMENT_BYTES == 0


def test_what_was_packed_is_read_back(package):
    assert entries_of(package) == ENTRIES
    content = package.read_bytes()
    for name, place in content_places(package).items():
        expected = next(entry.content for entry in ENTRIES if entry.name == name)
        assert content[place : place + len(expected)] == expected
    with zipfile.ZipFile(package) as opened:
        assert opened.testzip() is None


def test_same_entries_make_the_same_bytes(package, tmp_path):
    write_package(tmp_path / "again.apk", ENTRIES)
    assert (tmp_path / "again.apk").read_bytes() == package.read_bytes()


def test_places_tell_an_archive_that_is_not_aligned(tmp_path):
    with zipfile.ZipFile(tmp_path / "plain.apk", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("lib/x86_64/libone.so", b"\x7fELF")
    assert content_places(tmp_path / "plain.apk")["lib/x86_64/libone.so"] % LIBRARY_ALIGNMENT_BYTES != 0


def test_padding_names_the_multiple_that_signing_has_to_keep(package):
    with zipfile.ZipFile(package) as opened:
        extra = opened.getinfo("lib/arm64-v8a/libtwo.so").extra
    kind, size, multiple = struct.unpack_from("<HHH", extra)
    assert (kind, size, multiple) == (0xD935, len(extra) - 4, LIBRARY_ALIGNMENT_BYTES)
