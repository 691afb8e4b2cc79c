import json
import shutil
from pathlib import Path

import pytest
from bench_settings import QUICK

from mobile_bench.cell import Cell, make_cells
from mobile_bench.compare import paired_ratio
from mobile_bench.errors import BenchError
from mobile_bench.histories import choose_histories, given_histories
from mobile_bench.host import measure, require_records
from mobile_bench.placement import CPU
from mobile_bench.protocol import Settings
from mobile_bench.results import to_builtins
from mobile_bench.soak import soak
from odllm_artifact import sha256_file
from odllm_export.bundle import MANIFEST, WEIGHTS, read_manifest
from odllm_export.errors import BundleError


def test_two_bundles_are_measured_side_by_side(bundle: Path, golden_bundle: Path) -> None:
    seen: list[tuple[float, float]] = []
    results = measure(
        [bundle, golden_bundle], settings=QUICK, progress=lambda done, total, note="": seen.append((done, total))
    )
    records = require_records(results)
    one, other = records
    assert [record.bundle.name for record in records] == ["tiny", "golden"]
    assert one.run == other.run
    assert one.timing.round_calls == other.timing.round_calls
    assert paired_ratio(one, other).rounds >= 3
    assert one.bundle.manifest_sha256 == sha256_file(bundle / MANIFEST)
    assert one.bundle.files_sha256[WEIGHTS] == sha256_file(bundle / WEIGHTS)
    assert one.execution.placement.nodes[CPU] >= 5
    assert one.execution.placement.products == one.execution.placement.products_on_cpu == 2
    assert one.execution.session_options["intra_op_num_threads"] == "1"
    assert min(one.timing.wall_ms + one.timing.cpu_ms) >= 0
    assert one.load.cold_ms > 0
    assert one.phases is not None
    assert len(one.phases.whole_ms) == len(one.phases.repeated_ms) == QUICK.phase_calls
    assert one.phases.per_step.p50 == pytest.approx(one.phases.repeated.p50 / 2)
    assert one.memory.peak_memory_bytes > one.memory.before_open_bytes > 0
    assert (one.workload.source, other.workload.source) == ("random", "golden")
    assert other.workload.prompt_tokens == [4, 7]
    assert one.agreement is None
    assert other.agreement is not None
    assert (other.agreement.cases, other.agreement.overlap) == (2, 1.0)
    assert str(bundle.parent) not in json.dumps(to_builtins(results))
    assert seen[-1][0] == seen[-1][1]


def cpu_cell(bundle: Path) -> Cell:
    (cell,) = make_cells([bundle], ["cpu"], [1])
    return cell


def test_soak_of_a_bundle_reports_its_looks(bundle: Path) -> None:
    found = soak(cpu_cell(bundle), 100)
    assert found.calls[-1] == 100
    assert len(found.calls) == len(found.anonymous_bytes) == 50


def test_soak_too_short_for_a_slope_is_refused(bundle: Path) -> None:
    with pytest.raises(BenchError, match="at least 50"):
        soak(cpu_cell(bundle), 10)


def test_damaged_bundle_is_refused_before_anything_is_started(bundle: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(bundle, tmp_path / "damaged")
    content = bytearray((damaged / WEIGHTS).read_bytes())
    content[5] ^= 1
    (damaged / WEIGHTS).write_bytes(content)
    with pytest.raises(BundleError, match="damaged"):
        measure([damaged], settings=QUICK)


def test_options_without_sense_are_refused(bundle: Path) -> None:
    with pytest.raises(BenchError, match="nothing to measure"):
        measure([])
    with pytest.raises(BundleError, match="provider 'warp'"):
        measure([bundle], providers=["warp"])
    with pytest.raises(BenchError, match=r"'nnapi' is not installed: .*phones have it"):
        measure([bundle], providers=["nnapi"])
    with pytest.raises(BenchError, match="0 threads"):
        measure([bundle], threads=[0])
    with pytest.raises(BenchError, match="min_calls is 0"):
        Settings(min_calls=0)
    with pytest.raises(BenchError, match="min_seconds"):
        Settings(min_seconds=5, max_seconds=1)


def test_random_histories_repeat_and_fill_the_window(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    one, other = choose_histories(bundle, manifest), choose_histories(bundle, manifest)
    assert one == other
    assert {len(history) for history in one.rows} == {manifest.prompt.max_items}
    assert all(0 <= row < manifest.items for history in one.rows for row in history)


def test_golden_histories_become_rows(golden_bundle: Path) -> None:
    assert choose_histories(golden_bundle, read_manifest(golden_bundle)).rows == [[3], [1, 2]]


def test_given_histories_must_be_of_the_catalogue(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert given_histories([[0, 19]], manifest).source == "given"
    for wrong in ([[20]], [[-1]], [[]], []):
        with pytest.raises(BenchError):
            given_histories(wrong, manifest)
