"""A phone's app end to end: files of requests through adb, answered by the app's own worker on a JVM here."""

import jvm_worker
import local_phone
import pytest
from bench_settings import QUICK

from mobile_bench import protocol
from mobile_bench.cell import make_cells
from mobile_bench.errors import BenchError
from mobile_bench.host import measure_cells, require_records
from mobile_bench.phone.target import PhoneTarget
from mobile_bench.questions import choose_questions
from odllm_export.bundle import WEIGHTS, read_manifest

pytestmark = [pytest.mark.android, pytest.mark.slow]


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "phone"
    adb = local_phone.make_local_phone(folder)
    worker = jvm_worker.jvm_worker()
    local_phone.install_app(folder, worker.command, worker.environment)
    return PhoneTarget.of(adb.device("local"), "instrumentation")


def test_record_through_the_app_has_golden_lists_and_no_time_of_an_emulator(golden_bundle, target):
    (record,) = require_records(measure_cells(make_cells([golden_bundle], ["cpu"], [1], target=target), QUICK))
    assert (record.device.device_kind, record.device.model, record.device.python) == ("emulator", "here", None)
    assert record.time_to_top_k is record.phases is record.energy is None
    assert record.agreement.equal_lists == record.agreement.cases == 2
    assert record.execution.placement.products == 2
    assert record.memory.peak_memory_bytes > record.memory.before_open_bytes > 0
    assert record.load.page_cache == "unknown"


def test_rounds_open_the_bundle_again_in_the_app(golden_bundle, target, tmp_path):
    (cell,) = make_cells([golden_bundle], ["cpu"], [1], target=target)
    cell.install()
    with cell.start_worker() as worker:
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=60)
        assert len(worker.ask(protocol.Round(0, 3), protocol.RoundReply, timeout_s=60).wall_ms) == 3
        questions = choose_questions(cell.folder, cell.manifest, None)
        request = protocol.Inspect(*cell.opening, questions=questions.asked)
        found = worker.ask(request, protocol.InspectReply, timeout_s=60)
        assert questions.agreement(found.answers).equal_lists == 2
    assert not list((tmp_path / "phone").glob("tmp/odllm/*.jsonl"))


def test_refusals_of_the_app_come_back_in_its_words(golden_bundle, target, tmp_path):
    (cell,) = make_cells([golden_bundle], ["cpu"], [1], target=target)
    cell.install()
    there = target.path_of(golden_bundle, read_manifest(golden_bundle)).replace("/data/local/tmp", "phone/tmp")
    (tmp_path / there / WEIGHTS).write_bytes(b"other")
    with cell.start_worker() as worker, pytest.raises(BenchError, match=r"recommend\.onnx\.data has 5 bytes"):
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=60)
