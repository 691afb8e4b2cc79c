"""Phones end to end, on real adb devices: emulated arm64 processors, the cross-compiled runner, the aarch64 runtime."""

import json
import os
import threading
from pathlib import Path

import loopback_device
import loopback_packages
import native_kits
import pytest
import typer.testing
from filelock import FileLock

from mobile_bench import protocol
from mobile_bench.cell import make_cells
from mobile_bench.errors import DeviceError, WorkerError
from mobile_bench.host import measure_cells, require_records
from mobile_bench.phone.adb import Adb
from mobile_bench.phone.doctor import examine
from mobile_bench.phone.phones import PhonePlan, choose_serials, list_phones, measure_phones
from mobile_bench.phone.target import PhoneTarget
from mobile_bench.protocol import Settings
from mobile_bench.questions import choose_questions
from mobile_bench.results import read_results
from odllm.__main__ import build_app
from odllm_artifact import sha256_file
from odllm_export.bundle import MANIFEST, WEIGHTS, read_manifest
from odllm_export.export import ExportOptions, export_bundle

SETTINGS = Settings(timeout_s=120)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    reason = loopback_device.why_not()
    if reason is not None:
        pytest.skip(reason)
    native_kits.loopback_kit()
    # One at a time, where tests run in several processes: the emulator's registration is the whole machine's.
    with (
        FileLock(loopback_packages.cache_folder() / "network.lock"),
        loopback_device.LoopbackNetwork(tmp_path_factory.mktemp("loopback")) as network,
    ):
        yield network


@pytest.fixture(scope="module")
def phone(network):
    """A device that is there for all tests; those that break one start another."""
    with network.device() as device:
        yield device


@pytest.fixture(scope="module")
def target(phone):
    return PhoneTarget.of(phone.adb)


@pytest.fixture
def make_bundle(make_model_folder, make_dataset, tmp_path):
    def make(**options):
        folder, _ = make_model_folder()
        out = tmp_path / "bundle"
        export_bundle(folder, make_dataset(), out, ExportOptions(num_beams=6, top_k=5, golden=4, **options))
        return out

    return make


@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic"])
def test_record_of_an_emulated_phone_has_golden_lists_and_no_time(make_bundle, target, precision):
    bundle = make_bundle(precision=precision)
    (record,) = require_records(measure_cells(make_cells([bundle], ["cpu"], [1], target=target), SETTINGS))
    assert record.device.device_kind == "emulated-arm64"
    assert record.device.model == "odllm loopback"
    assert "Cortex-A76" in record.device.cpu_model
    assert record.time_to_top_k is record.phases is record.energy is None
    assert record.agreement.overlap == 1.0
    assert record.agreement.equal_lists == record.agreement.cases == 4
    assert record.execution.placement.products > 0
    assert record.memory.peak_memory_bytes > 0
    assert record.conditions[0].temperature_c == 36.5
    assert record.validity.valid


def test_arm_gives_the_scores_of_this_processor(make_bundle, target):
    """With exact int8 sums on both, rounding is the same up to the order of float sums."""
    bundle = make_bundle(precision="int8-dynamic")
    questions = [protocol.Question([3, 7, 1]), protocol.Question([5], [0, 2])]
    answers = []
    for one in (None, target):
        (cell,) = make_cells([bundle], ["cpu"], [1], target=one)
        cell.install()
        with cell.start_worker() as worker:
            request = protocol.Inspect(*cell.opening, questions=questions)
            answers.append(worker.ask(request, protocol.InspectReply, timeout_s=120).answers)
    for here, there in zip(*answers, strict=True):
        assert there.items == here.items
        assert there.scores == pytest.approx(here.scores, abs=1e-5)


def test_bundle_is_brought_once_and_a_damaged_copy_again(bundle, target, phone):
    manifest = read_manifest(bundle)
    target.install(bundle, manifest)
    weights = f"{target.path_of(bundle, manifest)}/{WEIGHTS}"
    before = phone.adb.shell("stat", "-c", "%Y %i", weights)
    target.install(bundle, manifest)
    assert phone.adb.shell("stat", "-c", "%Y %i", weights) == before
    phone.adb.shell("truncate", "-s", "1", weights)
    target.install(bundle, manifest)
    assert phone.adb.hashes([weights]) == {weights: sha256_file(bundle / WEIGHTS)}


def test_exit_codes_and_errors_come_back(phone):
    assert phone.adb.run("exit 9").returncode == 9
    with pytest.raises(DeviceError, match="cannot run `ls /nowhere`"):
        phone.adb.shell("ls", "/nowhere")


def test_killed_runner_is_told_in_words(bundle, target, phone):
    (cell,) = make_cells([bundle], ["cpu"], [1], target=target)
    cell.install()
    with cell.start_worker() as worker:
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=120)
        phone.adb.shell("pkill", "-9", "odllm-runner")
        with pytest.raises(WorkerError, match=r"on 127\.0\.0\.1:5555 was killed, most likely for want of memory"):
            worker.ask(protocol.Round(0, 1), protocol.RoundReply, timeout_s=120)


def test_runner_ends_when_nobody_listens_any_more(bundle, target, phone):
    (cell,) = make_cells([bundle], ["cpu"], [1], target=target)
    cell.install()
    worker = cell.start_worker()
    worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=120)
    with pytest.raises(WorkerError, match="no answer within"):
        worker.ask(protocol.Soak(1_000_000, 1_000_000), protocol.SoakReply, timeout_s=1)
    ended = threading.Event()
    for _ in range(100):
        if phone.adb.run("pgrep odllm-runner").returncode:
            ended.set()
            break
        ended.wait(0.1)
    assert ended.is_set()


def test_app_that_is_missing_is_told_in_words(phone):
    with pytest.raises(DeviceError, match=r"does not have the app org\.odllm\.demo: install it"):
        PhoneTarget.of(phone.adb, "instrumentation")


@pytest.fixture
def app(phone):
    (phone.root / "data/app").mkdir(parents=True, exist_ok=True)
    installed = phone.root / "data/app/org.odllm.demo"
    installed.touch()
    yield installed
    installed.unlink()


def test_instrumentation_answers_files_of_requests(golden_bundle, phone, target, app):
    through_app = PhoneTarget.of(phone.adb, "instrumentation")
    (cell,) = make_cells([golden_bundle], ["cpu"], [1], target=through_app)
    cell.install()
    with cell.start_worker() as worker:
        questions = choose_questions(cell.folder, cell.manifest, None)
        request = protocol.Inspect(*cell.opening, questions=questions.asked)
        found = worker.ask(request, protocol.InspectReply, timeout_s=120)
        assert questions.agreement(found.answers).equal_lists == 2
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=120)
        assert len(worker.ask(protocol.Round(0, 3), protocol.RoundReply, timeout_s=120).wall_ms) == 3
    left = phone.adb.shell("ls", "/sdcard/Android/data/org.odllm.demo/files", "/data/local/tmp/odllm")
    assert "jsonl" not in left


def test_instrumentation_that_crashes_is_told_in_words(golden_bundle, phone, target, app):
    crash = phone.root / "data/app/crash"
    crash.touch()
    try:
        through_app = PhoneTarget.of(phone.adb, "instrumentation")
        results = measure_cells(make_cells([golden_bundle], ["cpu"], [1], target=through_app), SETTINGS)
    finally:
        crash.unlink()
    assert "Process crashed" in results.failures[0].reason


def test_phone_that_goes_away_in_the_middle_is_told_in_words(network, bundle):
    with network.device() as device:
        target = PhoneTarget.of(device.adb)
        (cell,) = make_cells([bundle], ["cpu"], [1], target=target)
        cell.install()
        with cell.start_worker() as worker:
            worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=120)
            device.vanish()
            with pytest.raises(WorkerError, match=r"is out of reach: .* went away in the middle"):
                worker.ask(protocol.Round(0, 1), protocol.RoundReply, timeout_s=120)
        with pytest.raises(DeviceError, match=r"is gone|went away|is offline"):
            target.install(bundle, read_manifest(bundle))


def test_full_storage_is_told_before_and_while_it_happens(network, bundle, tmp_path):
    with network.device(storage="3m") as device:
        with pytest.raises(DeviceError, match=r"no room for the runner: it takes \d+ MiB and 3 MiB are free"):
            PhoneTarget.of(device.adb)
        large = tmp_path / "large"
        large.write_bytes(bytes(8 << 20))
        with pytest.raises(DeviceError, match="has no room left"):
            device.adb.push(large, "/data/local/tmp/large")
        assert device.adb.shell("ls", "/data/local/tmp").split() == ["odllm"]


def test_phone_that_fails_does_not_end_the_others(network, phone, target, golden_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(network.program).parent), prepend=os.pathsep)
    out = tmp_path / "records.json"
    with network.device(storage="3m") as full:
        serials = f"{phone.adb.serial},{full.adb.serial}"
        command = ["phone", "run", str(golden_bundle), "--serial", serials, "--out", str(out)]
        ended = typer.testing.CliRunner().invoke(build_app(), command)
    assert ended.exit_code == 4, ended.output
    results = read_results(out)
    assert [record.device.device_kind for record in results.records] == ["emulated-arm64"]
    assert [failure.reason.startswith(full.adb.serial) for failure in results.failures] == [True]
    assert "has no room" in results.failures[0].reason


def test_phones_are_listed_and_examined(network, phone, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(network.program).parent), prepend=os.pathsep)
    adb = Adb.find()
    (state,) = [one for one in list_phones(adb) if one.serial == phone.adb.serial]
    assert (state.state, state.abi, state.model) == ("device", "linux-aarch64", "odllm loopback")
    assert state.free_bytes > 1 << 20
    assert phone.adb.serial in choose_serials(adb, "all")
    verdicts = {finding.what: finding.verdict for finding in examine(adb, phone.adb.serial, "device")}
    assert verdicts.pop("energy") == verdicts.pop("app") == "note"
    assert set(verdicts.values()) == {"ok"}
    assert [finding.verdict for finding in examine(adb, "none-such", "device")] == ["wrong"]


def test_run_of_a_phone_that_is_not_there_fails_its_cells(network, golden_bundle):
    results = measure_phones(Adb(str(network.program)), ["none-such"], PhonePlan([golden_bundle]))
    assert not results.records
    assert "none-such is gone" in results.failures[0].reason


def test_bundles_of_one_name_do_not_meet(bundle, golden_bundle, target):
    folders = {target.path_of(one, read_manifest(one)) for one in (bundle, golden_bundle)}
    assert len(folders) == 2
    assert json.loads((bundle / MANIFEST).read_text())["name"] == "tiny"
