"""Bundles in a real browser, where one is installed (`make browser`): lists, refusals, crashes, records."""

import base64
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from bench_browser import evaluated, require_browser_here

from lcrec.catalog import read_catalog
from lcrec.errors import CatalogError
from mobile_bench import protocol
from mobile_bench.cell import make_cells
from mobile_bench.compare import paired_ratio
from mobile_bench.errors import BenchError, WorkerError
from mobile_bench.host import measure, require_records
from mobile_bench.placement import CPU
from mobile_bench.protocol import Settings
from mobile_bench.results import read_results, write_results
from odllm_export.bundle import CATALOG, MANIFEST, WEIGHTS
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.golden_check import golden_rows, read_golden
from odllm_export.list_difference import list_difference, overlap
from odllm_export.runtime import Recommender

QUICK = Settings(min_seconds=0, min_calls=4, min_rounds=2, warm_loads=1, memory_calls=1, phase_calls=2, warm_up_calls=1)
TIMEOUT_S = 240
PATIENCE_S = 30

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def _browser():
    require_browser_here()


@pytest.fixture
def make_bundle(make_model_folder, make_dataset, tmp_path):
    def make(**options):
        folder, _ = make_model_folder()
        out = tmp_path / "-".join(options.values())
        export_bundle(folder, make_dataset(), out, ExportOptions(num_beams=6, top_k=5, golden=12, **options))
        return out

    return make


def wasm_worker(bundle):
    (cell,) = make_cells([bundle], ["wasm"], [1])
    return cell, cell.start_worker()


@pytest.mark.parametrize("form", ["loop", "unrolled", "steps"])
def test_page_gives_the_lists_that_python_gives(make_bundle, form):
    ours, expected = both_answers(make_bundle(form=form))
    for found, (rows, scores) in zip(ours, expected, strict=True):
        assert list_difference(*found, rows, scores, tolerance=1e-4) is None


@pytest.mark.parametrize(("form", "precision"), [("loop", "int8-dynamic"), ("steps", "int8-qdq16")])
def test_rounded_lists_are_as_close_as_rounding_leaves_them(make_bundle, form, precision):
    """Another exponential in the last bit moves an activation to the next step: `golden_difference` says more."""
    ours, expected = both_answers(make_bundle(form=form, precision=precision))
    shared = [overlap(found[0], rows) for found, (rows, _) in zip(ours, expected, strict=True)]
    assert np.mean(shared) > 0.9


def both_answers(bundle):
    """What a page and what Python answers to golden cases, a window that slides, and many blocked items."""
    with Recommender.open(bundle) as recommender:
        cases = [case for case, _ in golden_rows(read_golden(bundle), recommender.rows_of)]
        cases += [(np.arange(8), np.zeros(0, np.int64)), (np.arange(3), np.arange(40))]
        expected = [recommender.recommend_rows(*case) for case in cases]
    questions = [protocol.Question(history.tolist(), blocked.tolist()) for history, blocked in cases]
    cell, worker = wasm_worker(bundle)
    with worker:
        asked = protocol.Inspect(*cell.opening, questions=questions)
        found = worker.ask(asked, protocol.InspectReply, timeout_s=TIMEOUT_S)
    assert {provider for *_, provider in found.nodes} == {CPU}
    return [(np.array(one.items), np.array(one.scores, np.float32)) for one in found.answers], expected


@pytest.mark.parametrize("form", ["loop", "steps"])
def test_session_in_a_page_reuses_tokens_and_gives_whole_calls_lists(make_bundle, form):
    growing = [[3], [3, 7], [3, 7, 11], [3, 7, 11, 2, 5], [3, 7, 11, 2, 5, 9], [3, 8], [3, 8]]
    found = evaluated(
        make_bundle(form=form),
        """async (histories) => {
            const { Recommender } = await import('./recommender.js');
            const recommender = await Recommender.open('bundle/', { provider: 'wasm', threads: 1 });
            const session = recommender.session();
            const seen = [];
            for (const history of histories) {
                const [ours, whole] = [await session.recommendRows(history), await recommender.recommendRows(history)];
                seen.push({ same: String(ours.items) === String(whole.items), reused: session.reusedTokens });
            }
            return seen;
        }""",
        growing,
    )
    assert all(one["same"] for one in found)
    # Prefix 2, an item 3, a separator 1; the sixth history has slid out of the window of five.
    assert [one["reused"] for one in found] == [0, 5, 9, 13, 0, 0, 9]


def test_catalogues_are_refused_where_python_refuses_them(golden_bundle: Path, tmp_path: Path) -> None:
    """Numbers of the file changed one by one, wherever they stand."""
    whole = (golden_bundle / CATALOG).read_bytes()
    random = np.random.default_rng(0)
    changed = []
    for at in random.integers(0, len(whole) // 4, 400):
        words = np.frombuffer(whole, "<i4").copy()
        words[at] += random.choice([-1, 1, 7])
        changed.append(words.tobytes())
    changed += [whole, whole[:-4], whole + b"\0" * 4, b""]
    refused = evaluated(
        golden_bundle,
        """async (files) => {
            const { readCatalog } = await import('./catalog.js');
            return files.map((text) => {
                try {
                    readCatalog(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)));
                } catch (error) {
                    return error.message;
                }
                return null;
            });
        }""",
        [base64.b64encode(one).decode() for one in changed],
    )
    expected = [python_refuses(data, tmp_path / CATALOG) for data in changed]
    assert [message is not None for message in refused] == expected
    assert all("catalog.bin" in message for message in filter(None, refused))
    assert expected.count(False) >= 1


def python_refuses(data: bytes, path: Path) -> bool:
    path.write_bytes(data)
    try:
        read_catalog(path)
    except CatalogError:
        return True
    return False


def test_hashes_without_the_browsers_help_are_the_same(golden_bundle: Path) -> None:
    found = evaluated(
        golden_bundle,
        """async () => {
            const { sha256InScript } = await import('./sha256.js');
            const counted = (length) => Uint8Array.from({ length }, (_, byte) => byte);
            return Array.from({ length: 200 }, (_, size) => sha256InScript(counted(size)));
        }""",
    )
    assert found == [hashlib.sha256(bytes(range(size))).hexdigest() for size in range(200)]


def test_damaged_file_is_refused_by_name(golden_bundle: Path, tmp_path: Path) -> None:
    cell, worker = wasm_worker(shutil.copytree(golden_bundle, tmp_path / "copy"))
    data = bytearray((cell.folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (cell.folder / WEIGHTS).write_bytes(data)
    with worker, pytest.raises(BenchError, match=rf"{WEIGHTS} is damaged: its SHA-256 .* Copy the bundle again"):
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=TIMEOUT_S)


def test_newer_schema_and_other_graphs_are_refused(golden_bundle: Path, tmp_path: Path) -> None:
    cell, worker = wasm_worker(shutil.copytree(golden_bundle, tmp_path / "copy"))
    manifest = json.loads((cell.folder / MANIFEST).read_text())
    with worker:
        for change, words in (
            ({"schema_version": 3}, "schema version 3; this page reads 2"),
            ({"search": manifest["search"] | {"num_beams": 4}}, "another prompt, search or cache"),
            ({"expected_peak_memory_bytes": 2**33}, "8192 MiB at its peak; a page can have 4096"),
        ):
            (cell.folder / MANIFEST).write_text(json.dumps(manifest | change))
            with pytest.raises(BenchError, match=words):
                worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=TIMEOUT_S)


def test_host_and_page_are_measured_side_by_side(golden_bundle: Path, tmp_path: Path) -> None:
    results = measure([golden_bundle], providers=["cpu", "wasm"], threads=[1], settings=QUICK)
    host, page = require_records(results)
    assert page.device.device_kind == "browser"
    assert page.device.browser is not None
    assert page.device.browser.startswith("Chromium ")
    assert (page.device.python, page.device.onnxruntime) == (None, "1.30.0")
    assert page.execution.placement.products == page.execution.placement.products_on_cpu == 2
    assert page.agreement is not None
    assert page.agreement.overlap == 1.0
    assert page.memory.peak_memory_bytes > page.memory.before_open_bytes > 0
    assert min(page.timing.cpu_ms) > 0
    assert page.load.page_cache == "unknown"
    assert page.phases is not None
    assert paired_ratio(page, host).rounds >= 2
    write_results(results, tmp_path / "records.json")
    assert read_results(tmp_path / "records.json") == results  # as strict as the committed schema, which it generates


def test_two_threads_are_two_threads(golden_bundle: Path) -> None:
    (cell,) = make_cells([golden_bundle], ["wasm"], [2])
    with cell.start_worker() as worker:
        found = worker.ask(protocol.Inspect(*cell.opening), protocol.InspectReply, timeout_s=TIMEOUT_S)
        names = [name for child in descendants() for name in thread_names(child)]
    assert found.session_options["env.wasm.numThreads"] == "2"
    assert names.count("DedicatedWorker") == 2  # ours, and the pool's one beside it


@pytest.mark.parametrize("form", ["loop", "steps"])
def test_webgpu_runs_the_products_and_is_not_timed_on_a_stand_in(make_bundle, form):
    results = measure([make_bundle(form=form)], providers=["webgpu-browser"], settings=QUICK)
    (record,) = require_records(results)
    placement = record.execution.placement
    assert placement.products_taken > 0.7 * placement.products
    assert placement.nodes["WebGpuExecutionProvider"] > 0
    assert record.agreement.overlap == 1.0
    assert "WebGPU on" in record.device.runtime_build
    assert (record.time_to_top_k is None) == (record.device.device_kind == "software-gpu")


def test_crash_of_the_page_is_told_and_leaves_no_browser(golden_bundle: Path) -> None:
    cell, worker = wasm_worker(golden_bundle)
    with worker:
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=TIMEOUT_S)
        started = descendants()
        (page,) = [child for child in started if "DedicatedWorker" in thread_names(child)]
        os.kill(page.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"the page crashed, most likely for want of memory: \d+ MiB"):
            worker.ask(protocol.Round(0, 1), protocol.RoundReply, timeout_s=TIMEOUT_S)
    assert not psutil.wait_procs(started, timeout=PATIENCE_S)[1]


def test_time_limit_leaves_no_browser(golden_bundle: Path) -> None:
    cell, worker = wasm_worker(golden_bundle)
    with worker:
        worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=TIMEOUT_S)
        started = descendants()
        with pytest.raises(WorkerError, match="no answer within 1 s"):
            worker.ask(protocol.Round(0, 10_000_000), protocol.RoundReply, timeout_s=1)
    assert not psutil.wait_procs(started, timeout=PATIENCE_S)[1]


def test_interrupt_leaves_no_browser(golden_bundle: Path) -> None:
    cell, worker = wasm_worker(golden_bundle)
    started: list[psutil.Process] = []

    def interrupted() -> None:
        with worker:
            worker.ask(protocol.Open(*cell.opening), protocol.OpenReply, timeout_s=TIMEOUT_S)
            started.extend(descendants())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(started) > 3
    assert not psutil.wait_procs(started, timeout=PATIENCE_S)[1]


def descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def thread_names(process: psutil.Process) -> list[str]:
    paths = Path(f"/proc/{process.pid}/task").glob("*/comm")
    return [path.read_text().strip() for path in paths]
