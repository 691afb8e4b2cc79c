"""The app's benchmark worker on this machine's JVM, driven as a device is and held against the Python worker."""

import json
import subprocess
from collections import Counter

import jvm_worker
import pytest
from bench_settings import QUICK

from mobile_bench import protocol
from mobile_bench.cell import make_cells
from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.host import measure_cells, require_records
from mobile_bench.placement import PRODUCTS
from mobile_bench.results import read_results, write_results
from odllm_export.bundle import CATALOG, MANIFEST
from odllm_export.export import ExportOptions, export_bundle

pytestmark = [pytest.mark.android, pytest.mark.slow]

FORMS = {
    "loop": {},
    "unrolled": {"form": "unrolled"},
    "steps": {"form": "steps"},
    "steps over the vocabulary": {"form": "steps", "scoring": "vocab"},
    "steps in 16 bits": {"form": "steps", "precision": "int8-qdq16"},
    "int8": {"precision": "int8-dynamic"},
}
"""Not int4: its products are rounded otherwise from one version of the runtime to the next."""


@pytest.fixture(scope="session")
def target():
    return jvm_worker.JvmHostTarget(jvm_worker.jvm_worker())


@pytest.fixture
def make_bundle(make_model_folder, make_dataset, tmp_path):
    def make(**options):
        folder, _ = make_model_folder()
        out = tmp_path / "bundle"
        export_bundle(folder, make_dataset(), out, ExportOptions(num_beams=6, top_k=5, golden=4, **options))
        return out

    return make


@pytest.fixture
def bundle(make_bundle):
    return make_bundle()


def ask(target, request, reply):
    with target.start_worker("cell") as worker:
        return worker.ask(request, reply, timeout_s=60)


def opening(folder, **changes):
    wanted = {"bundle": str(folder), "provider": "cpu", "threads": 1, "histories": [[0, 1]]} | changes
    return protocol.Open(**wanted)


def products(nodes):
    return Counter(operator for _, operator, _ in nodes if operator in PRODUCTS)


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
def test_worker_gives_the_lists_and_products_of_the_python_worker(make_bundle, target, options):
    """Other nodes may differ: the Android runtime is of another version, which joins and splits others."""
    bundle = make_bundle(**options)
    questions = [protocol.Question([3, 7, 1]), protocol.Question([5], [0, 2, 0]), protocol.Question(list(range(12)))]
    found = []
    for one in (None, target):
        (cell,) = make_cells([bundle], ["cpu"], [1], target=one)
        with cell.start_worker() as worker:
            request = protocol.Inspect(*cell.opening, questions=questions)
            found.append(worker.ask(request, protocol.InspectReply, timeout_s=60))
    python, kotlin = found
    assert products(kotlin.nodes) == products(python.nodes)
    assert kotlin.session_options == python.session_options
    for one, other in zip(kotlin.answers, python.answers, strict=True):
        assert one.items == other.items
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


@pytest.mark.parametrize("form", ["loop", "steps"])
def test_benchmark_ends_in_a_record(make_bundle, target, tmp_path, form):
    bundle = make_bundle(form=form)
    results = measure_cells(make_cells([bundle], ["cpu"], [1, 2], target=target), QUICK)
    assert not results.failures
    write_results(results, tmp_path / "records.json")
    for threads, record in enumerate(read_results(tmp_path / "records.json").records, 1):
        assert record.execution.threads == threads
        assert record.agreement.equal_lists == record.agreement.cases == 4
        assert (record.device.device_kind, record.device.python) == ("host", None)
        assert record.timing.wall.count == record.timing.cpu.count >= 6
        assert min(record.timing.cpu_ms) > 0
        assert record.timing.other_load_cores is not None
        assert len(record.phases.incremental_ms) == 3
        assert record.load.page_cache == "unknown"
        assert len(record.load.warm_ms) == 1
        memory = record.memory
        assert memory.peak_memory_bytes > memory.before_open_bytes > 0
        assert memory.peak_memory_bytes > memory.anonymous_peak_bytes > memory.file_backed_peak_bytes > 0


def test_xnnpack_is_seen_in_the_profile(bundle, target):
    (record,) = require_records(measure_cells(make_cells([bundle], ["xnnpack"], [1], target=target), QUICK))
    assert record.execution.placement.nodes["XnnpackExecutionProvider"] > 0
    assert record.execution.placement.products_taken > 0
    assert record.agreement.equal_lists == 4


@pytest.mark.parametrize("form", ["loop", "steps"])
def test_incremental_calls_answer_what_whole_ones_do(make_bundle, target, form):
    """The worker refuses a session whose best score is not that of a whole call."""
    rows = [[1, 2, 3, 4, 5, 6, 7], [8], [9, 9]]
    (cell,) = make_cells([make_bundle(form=form)], ["cpu"], [1], target=target, rows=rows)
    reply = ask(target, protocol.MeasurePhases(*cell.opening, calls=4), protocol.PhasesReply)
    assert len(reply.whole_ms) == len(reply.incremental_ms) == len(reply.repeated_ms) == 4


def test_soak_looks_at_the_memory(bundle, target):
    with target.start_worker("cell") as worker:
        worker.ask(opening(bundle), protocol.OpenReply, timeout_s=60)
        reply = worker.ask(protocol.Soak(11, 5), protocol.SoakReply, timeout_s=60)
    assert reply.calls == [5, 10]
    assert min(reply.anonymous_bytes) > 0


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"histories": [[]]}, BenchError, "history is empty"),
        ({"histories": [[99]]}, BenchError, "item row 99 is outside 0 … 59"),
        ({"histories": []}, BenchError, "no histories"),
        ({"threads": 0}, BenchError, "0 threads"),
        ({"provider": "warp"}, BenchError, "provider 'warp' is none of cpu"),
        ({"provider": "qnn"}, DeviceError, "has no QNN"),
        ({"provider": "nnapi"}, DeviceError, "NNAPI is not on this device"),
        ({"bundle": "nowhere"}, BenchError, "nowhere is not a bundle"),
        ({"warm_up_calls": 0}, BenchError, "warm_up_calls is 0"),
    ],
)
def test_request_without_sense_is_refused(bundle, target, changes, error, words):
    with pytest.raises(error, match=words) as refused:
        ask(target, opening(bundle, **changes), protocol.OpenReply)
    assert type(refused.value) is error


def test_damaged_file_is_refused_by_name(bundle, target):
    content = bytearray((bundle / CATALOG).read_bytes())
    content[-1] ^= 1
    (bundle / CATALOG).write_bytes(content)
    with pytest.raises(BenchError, match=r"catalog\.bin is damaged"):
        ask(target, opening(bundle), protocol.OpenReply)


def test_refusal_for_want_of_memory_is_the_devices(bundle, target):
    value = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps(value | {"expected_peak_memory_bytes": 1 << 50}))
    with pytest.raises(DeviceError, match="Close other apps"):
        ask(target, opening(bundle), protocol.OpenReply)


NONSENSE = [
    "{",
    "[1, 2",
    '{"do"}',
    '{"do": 1}',
    '"\\ud800"',
    "nul",
    "[" * 100_000,
    '{"do": "dance"}',
    '{"do": "open", "bundle": "x", "provider": "cpu", "threads": 1.5, "histories": []}',
    '{"do": "open", "bundle": "x", "provider": "cpu", "threads": 99999999999999999999, "histories": []}',
    '{"do": "round", "first": 0, "calls": 1}',
]


def test_nonsense_is_refused_line_by_line_and_the_worker_ends_in_order(target):
    lines = "".join(f"{line}\n" for line in NONSENSE)
    worker = target.worker
    ended = subprocess.run(
        worker.command, env=worker.environment, input=lines.encode(), capture_output=True, check=False, timeout=60
    )
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(answers) == len(NONSENSE)
    assert all(answer["refused"] and answer["exit_code"] == 2 for answer in answers)
    assert "before a bundle was opened" in answers[-1]["refused"]
    assert ended.returncode == 0


def test_worker_that_refused_goes_on_and_opens_another_bundle(bundle, target):
    with target.start_worker("cell") as worker:
        with pytest.raises(BenchError, match="before a bundle was opened"):
            worker.ask(protocol.Round(0, 1), protocol.RoundReply, timeout_s=60)
        for _ in range(2):
            assert worker.ask(opening(bundle), protocol.OpenReply, timeout_s=60).call_ms > 0
        assert len(worker.ask(protocol.Round(5, 3), protocol.RoundReply, timeout_s=60).wall_ms) == 3
