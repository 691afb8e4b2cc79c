"""ONNX Runtime's Android library on Linux, for its numbers: other compilers, kernels and providers than a wheel's.

It asks for Android's C library. Most of what it takes from there glibc has under the same name; the rest comes from
`android_build/bionic.c`, and its table of imports is changed to say so. "The Android build under glibc", not Android.
"""

from __future__ import annotations

import struct
import subprocess
import zipfile
from pathlib import Path

_SHIM = Path(__file__).parent / "android_build" / "bionic.c"
_GLIBC = {"libc.so": "libc.so.6", "libm.so": "libm.so.6", "libdl.so": "libc.so.6", "libandroid.so": "libc.so.6"}
_COMPILERS = {"x86_64": "cc", "arm64-v8a": "aarch64-linux-gnu-gcc"}

_ALWAYS = ("newlocale", "pthread_sigmask", "realpath", "sigfillset", "strerror_r", "sysconf")
_RENAMED = {"x86_64": _ALWAYS, "arm64-v8a": (*_ALWAYS, "pthread_mutex_init")}
"""Functions that both C libraries have, with other numbers or sizes."""

_LOAD, _DYNAMIC = 1, 2
_STRING_TABLE, _STRING_BYTES = 5, 10
_VERSIONS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)
"""Dynamic entries that bind imports to a C library's versions: VERSYM, VERDEF, VERDEFNUM, VERNEED, VERNEEDNUM."""


def unpack(archive: Path, abi: str, into: Path) -> Path:
    """Make the library of an Android archive loadable here and return its path; its folder goes on the library path."""
    into.mkdir(parents=True)
    with zipfile.ZipFile(archive) as opened:
        content = opened.read(f"jni/{abi}/libonnxruntime.so")
    library = into / "libonnxruntime.so"
    library.write_bytes(rebound(content, _RENAMED[abi]))
    compiler = _COMPILERS[abi]
    build = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra"]
    subprocess.run([*build, str(_SHIM), "-o", str(into / "liblog.so"), "-Wl,-soname,liblog.so"], check=True)
    for name, real in _GLIBC.items():
        links = ["-Wl,--no-as-needed", f"-l:{real}", f"-Wl,-soname,{name}"]
        subprocess.run([*build, "-xc", "/dev/null", *links, "-o", str(into / name)], check=True)
    return library


def rebound(content: bytes, renamed: tuple[str, ...]) -> bytes:
    """Return a 64-bit little-endian ELF library without versions of its imports, and with some of them renamed.

    Source: System V ABI, "Dynamic Section".
    """
    data = bytearray(content)
    segments = _segments(data)
    place, size = next((offset, size) for kind, offset, _, size in segments if kind == _DYNAMIC)
    entries = [struct.unpack_from("<qQ", data, at) for at in range(place, place + size, 16)]
    entries = entries[: next(i for i, (tag, _) in enumerate(entries) if tag == 0)]
    kept = [entry for entry in entries if entry[0] not in _VERSIONS]
    for number in range(size // 16):
        struct.pack_into("<qQ", data, place + 16 * number, *(kept[number] if number < len(kept) else (0, 0)))
    values = dict(entries)
    begin = _file_offset(segments, values[_STRING_TABLE])
    names = bytes(data[begin : begin + values[_STRING_BYTES]])
    for name in renamed:
        names = names.replace(f"\0{name}\0".encode(), f"\0{name[:-1]}_\0".encode())
    data[begin : begin + len(names)] = names
    return bytes(data)


def _segments(data: bytes) -> list[tuple[int, int, int, int]]:
    """Return kind, place in the file, address and size of every segment."""
    (table,), (count,) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<H", data, 56)
    headers = (struct.unpack_from("<IIQQQQ", data, table + 56 * number) for number in range(count))
    return [(kind, offset, address, size) for kind, _, offset, address, _, size in headers]


def _file_offset(segments: list[tuple[int, int, int, int]], address: int) -> int:
    return next(
        address - begin + offset
        for kind, offset, begin, size in segments
        if kind == _LOAD and begin <= address < begin + size
    )
