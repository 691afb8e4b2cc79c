"""ONNX Runtime's Android libraries on Linux: for tests on a JVM, and for their numbers (other compilers and kernels).

They ask for Android's C library. Most of what they take from there glibc has under the same name; the rest comes from
`bionic.c`, and their tables of imports are changed to say so. "The Android build under glibc", not Android.
"""

from __future__ import annotations

import shutil
import struct
import zipfile
from pathlib import Path

from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.toolchain import run_tool

_SHIM = Path(__file__).with_name("bionic.c")
_GLIBC = {"libc.so": "libc.so.6", "libm.so": "libm.so.6", "libdl.so": "libc.so.6", "libandroid.so": "libc.so.6"}
_COMPILERS = {"x86_64": "cc", "arm64-v8a": "aarch64-linux-gnu-gcc"}

_LIBRARIES = ("libonnxruntime.so", "libonnxruntime4j_jni.so")

_NUMBERS_DIFFER = ("newlocale", "pthread_sigmask", "realpath", "sigfillset", "strerror_r", "sysconf")
_STREAMS = (
    *("fclose", "fflush", "fileno", "fprintf", "fputc", "fputs", "fputwc", "fread", "fwrite"),
    *("getc", "getwc", "ungetc", "ungetwc", "vfprintf"),
)
"""Functions that may be given one of Android's own three streams, and then have to use glibc's."""
_ALWAYS = (*_NUMBERS_DIFFER, *_STREAMS)
_RENAMED = {"x86_64": _ALWAYS, "arm64-v8a": (*_ALWAYS, "pthread_mutex_init")}
"""Functions that both C libraries have, with other numbers, sizes or streams: their last letter becomes `_`."""
_RENAMED_TO = {"fputs": "fput0"}
"""Those whose name would then be another's."""

_LOAD, _DYNAMIC = 1, 2
_STRING_TABLE, _STRING_BYTES = 5, 10
_VERSIONS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)
"""Dynamic entries that bind imports to a C library's versions: VERSYM, VERDEF, VERDEFNUM, VERNEED, VERNEEDNUM."""


def unpack(archive: Path, abi: str, into: Path) -> Path:
    """Make the libraries of an Android archive loadable here; their folder goes on the library path.

    Args:
        archive: ONNX Runtime's `.aar`.
        abi: `x86_64` or `arm64-v8a`.
        into: a folder, which may be there.

    Returns:
        `libonnxruntime.so`; Java's library lies beside it.

    Raises:
        AndroidBuildError: there is no C compiler for the ABI.
    """
    into.mkdir(parents=True, exist_ok=True)
    compiler = _COMPILERS[abi]
    if shutil.which(compiler) is None:
        raise AndroidBuildError(
            f"{compiler} is not here: the Android build's libraries load under glibc with a piece in C; install it"
        )
    with zipfile.ZipFile(archive) as opened:
        for name in _LIBRARIES:
            (into / name).write_bytes(rebound(opened.read(f"jni/{abi}/{name}"), _RENAMED[abi]))
    build = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    run_tool([*build, str(_SHIM), "-o", str(into / "liblog.so"), "-Wl,-soname,liblog.so"], "compiling bionic.c")
    for name, real in _GLIBC.items():
        links = ["-Wl,--no-as-needed", f"-l:{real}", f"-Wl,-soname,{name}"]
        run_tool([*build, "-xc", "/dev/null", *links, "-o", str(into / name)], f"linking {name}")
    return into / _LIBRARIES[0]


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
        names = names.replace(f"\0{name}\0".encode(), f"\0{_RENAMED_TO.get(name, name[:-1] + '_')}\0".encode())
    data[begin : begin + len(names)] = names
    return bytes(data)


def _segments(data: bytes | bytearray) -> list[tuple[int, int, int, int]]:
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
