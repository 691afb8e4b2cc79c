import io
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from bench_samples import timing
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from lcrec.catalog import build_catalog
from lcrec.prompt import Prompt
from mobile_bench.baselines.flops import (
    Block,
    Decoder,
    Work,
    bundle_decoder,
    bundle_passes,
    generate_passes,
    llama_cpp_passes,
    work_of,
)
from mobile_bench.baselines.gguf_job import gguf_name, interleave_rotary
from mobile_bench.baselines.models import dense_model
from mobile_bench.baselines.peaks import ProductRunner, product_model
from mobile_bench.baselines.roofline import Peaks, roofline
from mobile_bench.baselines.rows import FOREIGN_MODELS, RATIOS, ROWS, UNTIMED
from mobile_bench.baselines.runners import GenerateRunner, TorchSearchRunner, smallest_gap
from mobile_bench.baselines.stacks import STACKS, find_stack
from mobile_bench.baselines.summary import Measured, Summary, ratio_intervals, summarize_row
from mobile_bench.baselines.tables import print_summary
from mobile_bench.baselines.worker import Lists
from mobile_bench.baselines.workload import SHAPES, Workload, find_shape, make_dataset
from mobile_bench.device import host_device
from mobile_bench.errors import BenchError
from odllm_artifact import read_json
from odllm_export.bundle import GraphFacts, Manifest, ModelFacts, SearchFacts


def test_prompt_of_the_benchmark_is_exactly_120_tokens() -> None:
    workload = Workload(find_shape("smollm2-135m"), 2)
    assert [len(prompt) for prompt in workload.prompts] == [120, 120]
    assert workload.shape.vocabulary == 49_152 + 1_024
    assert workload.catalog.items == 9_900


def test_items_are_drawn_alike_however_many_histories_there_are() -> None:
    one, other = (make_dataset(SHAPES["tiny"], count).require_codes().codes for count in (1, 9))
    np.testing.assert_array_equal(one, other)
    catalog = build_catalog(one, SHAPES["tiny"].code_sizes, [str(row) for row in range(len(one))])
    assert catalog.level_width[-1] == 1  # no two items share a code


def test_the_long_prompt_is_four_times_as_long() -> None:
    workload = Workload(find_shape("smollm2-135m-long"), 1)
    assert len(workload.prompts[0]) == 480


def test_operations_and_bytes_of_a_bundle_by_hand() -> None:
    graph = GraphFacts("loop", 23, "1.24", list(range(10)), [2, 2, 1, 4], 3, True)
    model = ModelFacts("llama", 2, 8, 2, 1, 0, 1.0, {"model.layers.0.mlp.up_proj": 2}, "int8-dynamic")
    prompt = Prompt((1, 2, 3), (), (), 5, (4, 4), 4)
    manifest = Manifest("x", {}, model, prompt, SearchFacts(4, 2, "trie", "codes", 8), graph, 1, 1, {})
    # keys, values 32 each; queries 64, output 64, MLP 3 · 8 · 16, one of them 2 · (8 + 16) in the first block
    first, second = 10 * (64 + 128 + 256 + 48), 10 * 64 + 4 * (128 + 384)
    work = work_of(bundle_decoder(manifest, 16), bundle_passes(10, 3, 10, 3), model.precision)
    assert work.products == 2 * (first + second + 4 * 8 * 10)
    assert work.attention == 2 * 2 * 8 * ((7 * 10 + 3 * 13) + (1 * 10 + 3 * 13))
    assert work.weight_bytes == 3 * (64 + 128 + 256 + 48 + 64 + 128 + 384 + 8 * 10)
    # written: 7 + 3 tokens; read: 10 columns by the prompt's pass, 13 by each of the two behind it
    assert work.cache_bytes == 2 * 8 * 4 * (10 + 10 + 2 * 13)
    assert work.integer


def test_products_of_the_torch_rows_are_those_that_torch_counts() -> None:
    workload = Workload(find_shape("tiny"), 1)
    generate = GenerateRunner(dense_model(workload.shape), workload, reads_all=False)
    tree = TorchSearchRunner(generate.model, workload, "vocab")
    for runner in (generate, tree):
        with FlopCounterMode(display=False) as counter:
            runner.ranked(0)
        assert runner.work(0).products == counter.get_flop_counts()["Global"][torch.ops.aten.mm]


def test_a_beam_with_a_prompt_of_its_own_is_a_sequence() -> None:
    decoder = Decoder((Block(3, 5, 7),), queries_width=2, cache_width=4, head=11)
    passes = generate_passes(10, 3, 2, reads_all=False)
    work = work_of(decoder, passes, "fp32")
    assert work.products == 2 * ((20 + 2 + 2) * 15 + (2 + 2 + 2) * 11)
    assert work.attention == 2 * 2 * 2 * (20 * 10 + 2 * 11 + 2 * 12)
    assert work.weight_bytes == 3 * 26 * 4
    assert work.cache_bytes == 4 * 4 * ((20 + 2 + 2) + (20 + 22 + 24))
    everything = work_of(decoder, generate_passes(10, 3, 2, reads_all=True), "fp32")
    assert everything.products - work.products == 2 * (20 - 2) * 11


def test_llama_cpp_leaves_out_the_mlp_of_tokens_that_are_not_read() -> None:
    decoder = Decoder((Block(3, 5, 7), Block(3, 5, 7)), queries_width=2, cache_width=4, head=11)
    work = work_of(decoder, llama_cpp_passes(10, 4, [2]), "f16")
    assert work.products == 2 * ((6 + 2) * 15 + (6 + 2) * 8 + (1 + 2) * 7 + (1 + 2) * 11)
    assert work.attention == 2 * 2 * 2 * 2 * (6 * 10 + 2 * 12)
    assert work.weight_bytes == 2 * 41 * 2
    assert work.cache_bytes == 2 * 4 * 2 * ((6 + 2) + (10 + 12))


def test_a_row_is_held_against_the_limit_that_binds() -> None:
    peaks = Peaks(float_gflops=100, integer_gops=400, memory_gb=20)
    found = roofline(Work(products=8e9, attention=1e9, weight_bytes=1e8, cache_bytes=0, integer=True), 60, peaks)
    assert (found.products_ms, found.memory_ms, found.limit) == pytest.approx((30, 5, "int8"))
    assert (found.share, found.gflops, found.gb_per_s) == pytest.approx((0.5, 150, 100 / 60))
    slow_memory = msgspec.structs.replace(peaks, memory_gb=2)
    found = roofline(Work(products=1e9, weight_bytes=8e7, cache_bytes=2e7), 100, slow_memory)
    assert (found.products_ms, found.memory_ms, found.limit) == pytest.approx((10, 50, "memory"))
    assert found.share == pytest.approx(0.5)


@pytest.mark.parametrize("integer", [False, True], ids=["float32", "int8"])
def test_peak_products_are_the_products(integer: bool) -> None:
    runner = ProductRunner(integer)
    (found,) = runner.session.run(None, {"x": runner.x})
    (weights,) = [
        one for one in onnx.load_from_string(product_model(integer, runner.SIZE)).graph.initializer if one.name == "w"
    ]
    x = runner.x.astype(np.float64) - 128 * integer
    np.testing.assert_allclose(found, x @ onnx.numpy_helper.to_array(weights), rtol=1e-3, atol=1e-3)


def test_a_stack_without_environment_is_left_out_with_the_target_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODLLM_LLAMA_CPP", str(tmp_path))
    assert find_stack("llama.cpp").missing == "no $ODLLM_LLAMA_CPP: make llama-cpp"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".installed").touch()
    assert find_stack("llama.cpp").missing == "$ODLLM_LLAMA_CPP lacks llama-cpp-python: make llama-cpp"
    for name in ("llama_cpp_python", "numpy"):
        metadata = tmp_path / "lib" / "python3" / "site-packages" / f"{name}-1.5.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    found = find_stack("llama.cpp")
    assert (found.missing, found.python) == ("", str(tmp_path / "bin" / "python"))
    assert found.versions == {"llama.cpp: llama-cpp-python": "1.5", "llama.cpp: numpy": "1.5"}


def test_rotary_rows_are_interleaved_within_each_head() -> None:
    random = np.random.default_rng(0)
    heads, size, hidden, angle = 3, 8, 5, 0.7
    weight, x = random.standard_normal((heads * size, hidden)), random.standard_normal(hidden)
    turns = np.exp(1j * angle * np.arange(1, size // 2 + 1))
    halves = (weight @ x).reshape(heads, 2, size // 2)
    expected = (halves[:, 0] + 1j * halves[:, 1]) * turns
    pairs = (interleave_rotary(weight.astype(np.float32), heads) @ x).reshape(heads, size // 2, 2)
    np.testing.assert_allclose((pairs[..., 0] + 1j * pairs[..., 1]) * turns, expected, atol=1e-5)


def test_a_factored_model_has_no_gguf() -> None:
    assert gguf_name("model.layers.12.mlp.up_proj.weight") == "blk.12.ffn_up.weight"
    with pytest.raises(BenchError, match="dense model"):
        gguf_name("model.layers.0.mlp.up_proj.input_factor.weight")


def test_unknown_shape_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BenchError, match="smollm2-135m"):
        find_shape("huge")


def test_rows_refer_to_rows_that_exist() -> None:
    names = {spec.name for spec in ROWS}
    assert {spec.reference for spec in ROWS} <= {"", *names, *(spec.name for spec in UNTIMED)}
    assert {name for _, one, other in RATIOS for name in (one, other)} <= names
    assert {spec.folder: spec.stack for spec in ROWS if spec.stack} == {
        name: spec.stack for name, spec in FOREIGN_MODELS.items()
    }
    assert {spec.stack for spec in FOREIGN_MODELS.values()} == set(STACKS)


def test_summary_counts_identical_lists_and_their_differences() -> None:
    spec = next(spec for spec in ROWS if spec.name == "torch-search")
    lists = {
        "transformers-generate": Lists([[1, 2, 3], [4, 5, 6]], [[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0]], 7),
        "torch-search": Lists([[1, 2, 9], [5, 4, 6]], [[-1.0, -2.5, -3.0], [-1.0, -1.25, -3.0]], 8),
    }
    measured = Measured(spec, timing([3.0, 5.0]), Work(products=8e8))
    row = summarize_row(measured, Peaks(100, 400, 20), lists, top_k=2)
    assert (row.identical_lists, row.histories, row.peak_memory_bytes) == (1, 2, 8)
    assert row.max_score_difference == pytest.approx(0.5)
    assert row.smallest_score_gap == pytest.approx(0.25)
    assert row.wall_ms_p50 == 4.0
    assert row.roofline is not None
    assert row.roofline.products_ms == pytest.approx(8.0)


def test_a_row_that_is_left_out_stands_in_the_table_with_its_reason() -> None:
    lists, peaks = Lists([[1, 2]], [[-1.0, -2.0]], 7), Peaks(100, 400, 20)
    specs = [spec for spec in ROWS if spec.stack != "llama.cpp"]
    by_name = {spec.name: lists for spec in (*specs, *UNTIMED)}
    by_name["optimum"] = by_name["graph-dense-vocab-int8"] = Lists([[2, 1]], [[-1.0, -2.0]], 7)
    measured = [Measured(spec, timing([250.0]), Work(products=5e9)) for spec in specs]
    summary = Summary(
        rows=[summarize_row(one, peaks, by_name, top_k=2) for one in measured],
        ratios={},
        ratio_intervals={},
        peaks=peaks,
        skipped={spec.name: "no .venv: make it" for spec in ROWS if spec.stack == "llama.cpp"},
        long_prompt_growth=1.0,
        exports={},
        shape=SHAPES["tiny"],
        prompt_tokens=20,
        threads=1,
        machine=host_device("host", "1.31", ""),
        versions={},
    )
    console = Console(width=120, file=io.StringIO())
    print_summary(summary, console)
    printed = console.file.getvalue()
    wrong = [line for line in printed.splitlines() if "other lists" in line]
    assert [line.split()[0] for line in wrong] == ["optimum"]  # a rounded bundle may reorder
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines()]
    assert ["llama.cpp-f16", "skipped", "", "", "", "no .venv: make it"] in lines
    assert ["torch-search", "250", "250", "0", "1 of 1", "100%"] in lines
    assert ["torch-search", "5.0", "0", "0", "20.0", "0.0", "50", "float32", "20%"] in lines
    assert [line[0] for line in lines if line].count("sgemm") == 1  # a peak has no limit of its own


def test_ratios_are_medians_of_pairs() -> None:
    by_name = {"transformers-generate": 12.0, "torch-search": 2.0, "graph-keep-0.5-codes": 0.5}
    rows = [
        Measured(spec, timing([factor * by_name.get(spec.name, 1.0) for factor in (1, 5, 9)]), Work())
        for spec in ROWS
        if spec.stack != "llama.cpp"
    ]
    found = {name: (ratio.cpu, ratio.wall) for name, ratio in ratio_intervals(rows).items()}
    assert found == {
        "transformers/graph-dense-vocab": (12.0, 12.0),
        "transformers/graph-keep-0.5-codes": (24.0, 24.0),
        "transformers/graph-keep-0.5-int8": (12.0, 12.0),
        "transformers/graph-keep-0.5-int8-session": (12.0, 12.0),
        "optimum/graph-dense-vocab": (1.0, 1.0),
        "torch-search/graph-dense-vocab": (2.0, 2.0),
        "graph-keep-0.5-codes/graph-dense-codes": (0.5, 0.5),
        "graph-keep-0.5-long/graph-keep-0.5-codes": (2.0, 2.0),
    }


def test_gap_is_the_smallest_between_neighbours() -> None:
    assert smallest_gap(np.array([-1.0, -1.5, -1.75], np.float32)) == pytest.approx(0.25)
    with pytest.raises(BenchError, match="at least two"):
        smallest_gap(np.array([-1.0], np.float32))


def test_bundle_rows_do_not_load_torch() -> None:
    import subprocess

    code = "import sys, mobile_bench.baselines.worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(600)  # with the environments of other stacks it writes their models, too
def test_tiny_benchmark_agrees_from_end_to_end(tmp_path: Path) -> None:
    from mobile_bench.baselines.run import SUMMARY_FILE, run

    summary = run(find_shape("tiny"), tmp_path, rounds=3, histories=3)
    exact = {spec.name for spec in ROWS if spec.exact} - set(summary.skipped)
    rows = [row for row in summary.rows if row.name in exact]
    assert {row.name: row.identical_lists for row in rows} == dict.fromkeys(exact, 3)
    assert all(row.max_score_difference < 1e-4 < row.smallest_score_gap for row in rows)
    passes = {row.name: row.roofline.weight_mb for row in summary.rows if row.roofline is not None}
    assert passes["graph-dense-vocab-int8"] == pytest.approx(passes["graph-dense-vocab"] / 4)
    assert 0 < passes["graph-keep-0.5-int8-session"] == pytest.approx(passes["graph-keep-0.5-int8"])
    written = read_json(tmp_path / SUMMARY_FILE)
    ran = {row.name for row in summary.rows}
    assert set(written["ratios"]) == {name for name, one, other in RATIOS if {one, other} <= ran}
    assert set(summary.skipped) == {spec.name for spec in ROWS} - ran
    built = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.data")}
    run(find_shape("tiny"), tmp_path, rounds=1, histories=3)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.data")} == built
