from pathlib import Path

import pytest
from bench_samples import record, timing
from msgspec.structs import replace

from mobile_bench.collection import collect, read_collection
from mobile_bench.errors import RecordError
from mobile_bench.record import Phases, Record
from mobile_bench.results import Failure, Results, write_results
from mobile_bench.statistics import distribution

TIMED = timing([1.0, 2.0])
PARTS = distribution([1.0])
PHASES = Phases(
    whole_ms=[1.0],
    incremental_ms=[1.0],
    repeated_ms=[1.0],
    whole=PARTS,
    incremental=PARTS,
    repeated=PARTS,
    prefill=PARTS,
    per_step=PARTS,
)


def on(one: Record, **device: object) -> Record:
    return replace(one, device=replace(one.device, **device))


def with_threads(one: Record, threads: int) -> Record:
    return replace(one, execution=replace(one.execution, threads=threads))


def test_cells_are_sorted_by_device_and_numbered_through() -> None:
    host, phone = record(TIMED), on(record(TIMED, device_kind="phone"), model="A phone", soc="A chip")
    found = collect([host, phone, on(record(TIMED, name="half"), onnxruntime="another")])
    assert [device.title for device in found.devices] == ["a processor, 2 cores", "A phone, A chip, 2 cores (phone)"]
    assert [[(cell.number, cell.name) for cell in device.cells] for device in found.devices] == [
        [(1, "dense"), (2, "half")],
        [(3, "dense")],
    ]


def test_a_name_holds_what_differs_on_its_device_and_the_details_hold_the_rest() -> None:
    one = record(TIMED)
    (device,) = collect([one, with_threads(one, 2)]).devices
    assert [cell.name for cell in device.cells] == ["dense · 1 thread", "dense · 2 threads"]
    assert {cell.details for cell in device.cells} == {"fp32, keep 1, cpu"}
    (alone,) = collect([one]).cells
    assert (alone.name, alone.details) == ("dense", "fp32, keep 1, cpu, 1 thread")


def test_cells_of_one_name_are_told_apart_by_bundle_time_or_run() -> None:
    one = record(TIMED)
    other = replace(one, bundle=replace(one.bundle, manifest_sha256="f" * 64))
    assert [cell.name for cell in collect([one, other]).cells] == ["dense · 00000000", "dense · ffffffff"]
    later = replace(one, measured_at="2025-01-02T00:00:00+00:00")
    assert collect([one, later]).cells[1].name == "dense · 2025-01-02 00:00"
    assert collect([one, replace(one, run="second")]).cells[1].name == "dense · run second"
    assert collect([one, one]).cells[1].name == "dense (2)"


def test_cells_of_one_bundle_share_its_index() -> None:
    one, half = record(TIMED), record(TIMED, name="half")
    half = replace(half, bundle=replace(half.bundle, manifest_sha256="f" * 64))
    assert [cell.bundle_index for cell in collect([one, half, with_threads(one, 2)]).cells] == [0, 1, 0]


def test_stand_ins_have_no_time_whatever_their_record_says() -> None:
    emulated = replace(record(None, device_kind="emulated-htp"), phases=PHASES)
    found = collect([replace(record(TIMED), phases=PHASES), emulated])
    assert [device.is_stand_in for device in found.devices] == [False, True]
    host, stand_in = found.cells
    assert (host.timing, host.phases, host.load_ms) == (TIMED, PHASES, 9.0)
    assert (stand_in.timing, stand_in.phases, stand_in.load_ms) == (None, None, None)


def test_a_file_given_twice_and_a_record_in_two_files_count_once(tmp_path: Path) -> None:
    failure = Failure(bundle="dense", provider="qnn", threads=1, reason="took no node")
    write_results(Results(records=[record(TIMED)], failures=[failure]), tmp_path / "a.json")
    write_results(Results(records=[record(TIMED), record(TIMED, name="half")], failures=[]), tmp_path / "b.json")
    found = read_collection([tmp_path / "a.json", tmp_path / "b.json", tmp_path / "." / "a.json"])
    assert [cell.name for cell in found.cells] == ["dense", "half"]
    assert [(one.file, one.failure) for one in found.failed] == [("a.json", failure)]
    assert found.files == ["a.json", "b.json"]


def test_files_without_any_cell_are_refused(tmp_path: Path) -> None:
    write_results(Results(records=[], failures=[]), tmp_path / "empty.json")
    with pytest.raises(RecordError, match=r"empty\.json: no measured and no failed cell"):
        read_collection([tmp_path / "empty.json"])
