"""The native runner on this host, held against the Python worker."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import native_kits
import pytest
from bench_settings import QUICK

from mobile_bench import protocol
from mobile_bench.cell import make_cells
from mobile_bench.errors import BenchError, DeviceError, WorkerError
from mobile_bench.host import measure_cells, require_records
from mobile_bench.phone.native_process import NativeHostTarget
from odllm_export.bundle import CATALOG, GRAPH, MANIFEST, read_manifest
from odllm_export.export import ExportOptions, export_bundle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def target() -> NativeHostTarget:
    return NativeHostTarget(native_kits.host_kit())


@pytest.fixture
def make_bundle(make_model_folder, make_dataset, tmp_path):
    def make(**options):
        folder, _ = make_model_folder()
        out = tmp_path / "bundle"
        export_bundle(folder, make_dataset(), out, ExportOptions(num_beams=6, top_k=5, golden=4, **options))
        return out

    return make


def ask(target, bundle, request, reply):
    with target.start_worker("cell") as worker:
        return worker.ask(request, reply, timeout_s=60)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"form": "unrolled"},
        {"form": "steps"},
        {"form": "steps", "scoring": "vocab"},
        {"form": "steps", "precision": "int8-qdq16"},
        {"precision": "int8-dynamic"},
        {"precision": "int4-block32"},
    ],
)
def test_runner_gives_the_lists_and_nodes_of_the_python_worker(make_bundle, target, options):
    bundle = make_bundle(**options)
    questions = [protocol.Question([3, 7, 1]), protocol.Question([5], [0, 2]), protocol.Question(list(range(12)))]
    found = []
    for one in (None, target):
        (cell,) = make_cells([bundle], ["cpu"], [1], target=one)
        with cell.start_worker() as worker:
            request = protocol.Inspect(*cell.opening, questions=questions)
            found.append(worker.ask(request, protocol.InspectReply, timeout_s=60))
    python, native = found
    assert sorted(native.nodes) == python.nodes
    assert native.session_options == python.session_options
    assert native.onnxruntime == python.onnxruntime
    for one, other in zip(native.answers, python.answers, strict=True):
        assert one.items == other.items
        assert one.scores == pytest.approx(other.scores, abs=1e-6)


def test_runner_is_measured_like_any_other_target(make_bundle, target):
    (record,) = require_records(measure_cells(make_cells([make_bundle()], ["cpu"], [1], target=target), QUICK))
    assert record.agreement.equal_lists == record.agreement.cases == 4
    assert record.timing.wall.count >= 6
    assert len(record.phases.incremental_ms) == 3
    assert record.memory.peak_memory_bytes > record.memory.before_open_bytes > 0
    assert record.load.page_cache in ("dropped", "partly dropped", "kept", "unknown")


@pytest.mark.parametrize("form", ["loop", "steps"])
def test_incremental_calls_answer_what_whole_ones_do(make_bundle, target, form):
    """The runner refuses a session whose best score is not that of a whole call."""
    (cell,) = make_cells([make_bundle(form=form)], ["cpu"], [1], target=target, rows=[[1, 2, 3, 4, 5, 6, 7]])
    reply = ask(target, None, protocol.MeasurePhases(*cell.opening, calls=2), protocol.PhasesReply)
    assert len(reply.whole_ms) == len(reply.incremental_ms) == len(reply.repeated_ms) == 2


def test_soak_looks_at_the_memory(bundle, target):
    (cell,) = make_cells([bundle], ["cpu"], [1], target=target)
    with target.start_worker("cell") as worker:
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=60)
        reply = worker.ask(protocol.Soak(10, 5), protocol.SoakReply, timeout_s=60)
    assert reply.calls == [5, 10]
    assert min(reply.anonymous_bytes) > 0


def copy_of(bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle, tmp_path / "copy")


def opening(folder: Path, **changes):
    wanted = {"bundle": str(folder), "provider": "cpu", "threads": 1, "histories": [[0, 1]]} | changes
    return protocol.Open(**wanted)


def test_damaged_file_is_refused_by_name(bundle, target, tmp_path):
    folder = copy_of(bundle, tmp_path)
    content = bytearray((folder / CATALOG).read_bytes())
    content[-1] ^= 1
    (folder / CATALOG).write_bytes(content)
    with pytest.raises(BenchError, match=r"catalog\.bin is damaged"):
        ask(target, folder, opening(folder), protocol.OpenReply)


def rewrite_manifest(folder: Path, change) -> None:
    value = json.loads((folder / MANIFEST).read_text())
    change(value)
    (folder / MANIFEST).write_text(json.dumps(value))


def with_catalog(folder: Path, content: bytes) -> None:
    """Put another catalogue into a bundle and let the manifest say so."""

    (folder / CATALOG).write_bytes(content)
    fact = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite_manifest(folder, lambda value: value["files"].update({CATALOG: fact}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:-4], "cut short"),
        (lambda content: content + b"\0" * 4, "longer than its arrays"),
        (lambda content: b"X" + content[1:], "does not begin"),
        (lambda content: content[:16] + b"\xff\xff\xff\x7f" + content[20:], "cut short"),
        (lambda content: content[:64] + b"\xff\xff\xff\x7f" + content[68:], "lead outside"),
    ],
)
def test_catalogue_that_leads_outside_is_refused(bundle, target, tmp_path, change, words):
    folder = copy_of(bundle, tmp_path)
    with_catalog(folder, change((folder / CATALOG).read_bytes()))
    with pytest.raises(BenchError, match=words):
        ask(target, folder, opening(folder), protocol.OpenReply)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.update(schema_version=9), "schema version 9"),
        (lambda value: value["graph"].update(form="decoder"), "form 'decoder'"),
        (lambda value: value["graph"].update(form="steps"), "sizes that no bundle has"),
        (lambda value: value["graph"].update(onnxruntime="99.0"), "needs ONNX Runtime 99.0"),
        (lambda value: value["search"].update(top_k=2), "another prompt, search or cache"),
        (lambda value: value.update(expected_peak_memory_bytes=1 << 50), "MiB are free"),
        (lambda value: value["graph"].update(kv_cache=[1, 2]), "four sizes"),
        (lambda value: value["files"].update({"../x": {"bytes": 1, "sha256": ""}}), "no file of a bundle"),
        (lambda value: value.pop("prompt"), "'prompt' is missing"),
    ],
)
def test_manifest_that_does_not_fit_is_refused(bundle, target, tmp_path, change, words):
    folder = copy_of(bundle, tmp_path)
    rewrite_manifest(folder, change)
    with pytest.raises(BenchError, match=words):
        ask(target, folder, opening(folder), protocol.OpenReply)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"histories": [[]]}, "history is empty"),
        ({"histories": [[99]]}, "item row 99 is outside 0 … 19"),
        ({"histories": []}, "no histories"),
        ({"threads": 0}, "0 threads"),
        ({"provider": "warp"}, "no provider 'warp'"),
        ({"provider": "xnnpack"}, "has no XnnpackExecutionProvider"),
        ({"provider": "nnapi"}, "has no NnapiExecutionProvider"),
        ({"bundle": "nowhere"}, r"cannot read nowhere/manifest\.json"),
        ({"warm_up_calls": 0}, "warm_up_calls is 0"),
    ],
)
def test_request_without_sense_is_refused(bundle, target, changes, words):
    with pytest.raises(BenchError, match=words):
        ask(target, bundle, opening(bundle, **changes), protocol.OpenReply)


def test_round_before_opening_is_refused_and_the_runner_lives_on(bundle, target):
    with target.start_worker("cell") as worker:
        with pytest.raises(BenchError, match="before a bundle was opened"):
            worker.ask(protocol.Round(0, 1), protocol.RoundReply, timeout_s=60)
        assert worker.ask(opening(bundle), protocol.OpenReply, timeout_s=60).call_ms > 0


def test_a_file_that_is_no_runtime_is_told(bundle, target, tmp_path):
    folder = shutil.copytree(target.kit.folder, tmp_path / "kit")
    (folder / "libonnxruntime.so").write_bytes(b"no library")
    broken = NativeHostTarget(type(target.kit)(target.kit.abi, folder))
    with pytest.raises(WorkerError, match=r"ended with code 4(.|\n)*cannot load ONNX Runtime"):
        ask(broken, bundle, opening(bundle), protocol.OpenReply)


def test_graph_that_is_no_graph_is_refused(bundle, target, tmp_path):

    folder = copy_of(bundle, tmp_path)
    (folder / GRAPH).write_bytes(b"no graph")
    fact = {"bytes": 8, "sha256": hashlib.sha256(b"no graph").hexdigest()}
    rewrite_manifest(folder, lambda value: value["files"].update({GRAPH: fact}))
    with pytest.raises(BenchError, match="cannot open the graph"):
        ask(target, folder, opening(folder), protocol.OpenReply)
    assert read_manifest(folder).files[GRAPH].bytes == 8


def test_refusal_for_want_of_memory_is_the_devices(bundle, target, tmp_path):
    folder = copy_of(bundle, tmp_path)
    rewrite_manifest(folder, lambda value: value.update(expected_peak_memory_bytes=1 << 50))
    with pytest.raises(DeviceError, match="Close other apps"):
        ask(target, folder, opening(folder), protocol.OpenReply)


NONSENSE = [
    "",
    "{",
    "[1, 2",
    '{"do"}',
    '{"do": "open", }',
    '{"do": 1}',
    '"\\ud800"',
    '"\\u12g4"',
    '"\\x"',
    "01x",
    "-",
    "1e",
    "nul",
    "[" * 100_000,
    '{"do": "open", "bundle": "x", "provider": "cpu", "threads": 1.5, "histories": []}',
    '{"do": "open", "bundle": "x", "provider": "cpu", "threads": 99999999999999999999, "histories": []}',
]


def test_nonsense_is_refused_line_by_line(target):
    lines = "".join(f"{line}\n" for line in [*NONSENSE, '{"do": "round"}'])
    command = [str(target.kit.runner), "--runtime", str(target.kit.library)]
    ended = subprocess.run(command, input=lines.encode(), capture_output=True, check=False, timeout=60)
    assert ended.returncode == 0
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(answers) == len(NONSENSE) + 1
    assert all(answer["refused"] and answer["exit_code"] == 2 for answer in answers)
    assert "before a bundle was opened" in answers[-1]["refused"]


@pytest.mark.parametrize("arguments", [[], ["--runtime"], ["--what"]])
def test_usage_is_told(target, arguments):
    ended = subprocess.run(
        [str(target.kit.runner), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert "usage: odllm-runner --runtime" in ended.stderr
