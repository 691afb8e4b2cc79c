"""Asking the system to forget a bundle's files, so that a load is really cold, and checking that it did.

`posix_fadvise(DONTNEED)` needs no root, but it is advice: pages that another process maps stay. Whether it
worked is asked page by page with `preadv2(RWF_NOWAIT)`, which reads only what is in memory already.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from mobile_bench.record import PageCache

_PROBES = 64
_KEPT_SHARE = 0.9
_DROPPED_SHARE = 0.1


def drop_page_cache(files: Iterable[Path]) -> PageCache:
    """Advise the system to drop the files' pages; return what came of it."""
    if not hasattr(os, "posix_fadvise"):
        return "unknown"
    resident: list[bool] = []
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            _write_back(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            found = _resident_probes(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # what the probes read
        finally:
            os.close(descriptor)
        if found is None:
            return "unknown"
        resident += found
    share = sum(resident) / max(len(resident), 1)
    if share <= _DROPPED_SHARE:
        return "dropped"
    return "kept" if share >= _KEPT_SHARE else "partly dropped"


def _write_back(descriptor: int) -> None:
    """Write a file's dirty pages: a bundle exported a moment ago could not be dropped otherwise."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EROFS, errno.EBADF):
            raise


def _resident_probes(descriptor: int) -> list[bool] | None:
    """Return for evenly spread bytes of a file whether they are in memory; `None` if that is not told."""
    if not hasattr(os, "RWF_NOWAIT"):
        return None
    # A probe that finds nothing makes the kernel read that page; without this advice its neighbours as well.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    pages = -(-os.fstat(descriptor).st_size // mmap.PAGESIZE)
    offsets = sorted({pages * probe // _PROBES * mmap.PAGESIZE for probe in range(_PROBES)}) if pages else []
    found = []
    for offset in offsets:
        try:
            os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT)
            found.append(True)
        except BlockingIOError:
            found.append(False)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                return None
            raise
    return found
