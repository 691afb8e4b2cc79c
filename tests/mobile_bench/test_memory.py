import time
from pathlib import Path

import numpy as np
import pytest

from mobile_bench.memory import MemorySampler, peak_resident_bytes, resident_memory
from mobile_bench.page_cache import drop_page_cache
from mobile_bench.soak import report

BLOCK = 64 << 20


def test_sampler_sees_memory_that_is_gone_afterwards() -> None:
    before = resident_memory().anonymous
    if before is None:
        pytest.skip("this system has no /proc")
    with MemorySampler(every_s=0.001) as sampler:
        block = np.ones(BLOCK // 8)
        deadline = time.monotonic() + 30  # a busy machine may not let the sampler look for a while
        while (sampler.anonymous_peak or 0) - before <= BLOCK * 0.9 and time.monotonic() < deadline:
            time.sleep(0.001)
        del block
    assert sampler.anonymous_peak is not None
    assert sampler.anonymous_peak - before > BLOCK * 0.9
    assert peak_resident_bytes() >= sampler.anonymous_peak


def test_mapped_files_count_as_file_backed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(BLOCK))
    before = resident_memory()
    if before.file_backed is None:
        pytest.skip("this system has no /proc")
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    assert int(mapped[::4096].sum()) == 0
    now = resident_memory()
    assert now.file_backed is not None
    assert now.file_backed - before.file_backed > BLOCK * 0.9


def test_dropping_the_page_cache_says_what_came_of_it(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(1 << 20))
    assert drop_page_cache([path]) in ("dropped", "unknown", "kept")  # tmpfs keeps its pages
    assert path.read_bytes() == bytes(1 << 20)


def test_mapped_pages_are_not_reported_as_dropped(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(1 << 20))
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    assert int(mapped[::4096].sum()) == 0
    assert drop_page_cache([path]) in ("kept", "unknown")


def test_level_memory_is_flat_after_it_settled() -> None:
    calls = list(range(100, 5001, 100))
    memory = [20 << 20 if count < 1000 else 30 << 20 for count in calls]
    assert report("b", "cpu", 1, calls, memory).flat


def test_leak_is_not_flat() -> None:
    calls = list(range(100, 5001, 100))
    found = report("b", "cpu", 1, calls, [(30 << 20) + 1000 * count for count in calls])
    assert not found.flat
    assert found.slope_bytes_per_call == pytest.approx(1000)
