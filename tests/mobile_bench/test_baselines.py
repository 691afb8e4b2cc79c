import sys
from pathlib import Path

import numpy as np
import pytest
from bench_samples import timing

from lcrec.catalog import build_catalog
from lcrec.prompt import Prompt
from mobile_bench.baselines.flops import recommendation_flops
from mobile_bench.baselines.rows import RATIOS, ROWS, UNTIMED
from mobile_bench.baselines.runners import smallest_gap
from mobile_bench.baselines.summary import ratio_intervals, summarize_row
from mobile_bench.baselines.worker import Lists
from mobile_bench.baselines.workload import SHAPES, Workload, find_shape, make_dataset
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


def test_operations_of_a_call_by_hand() -> None:
    graph = GraphFacts("loop", 23, "1.24", list(range(10)), [2, 2, 1, 4], 3, True)
    model = ModelFacts("llama", 2, 8, 2, 1, 0, 1.0, {"model.layers.0.mlp.up_proj": 2}, "fp32")
    prompt = Prompt((1, 2, 3), (), (), 5, (4, 4), 4)
    manifest = Manifest("x", {}, model, prompt, SearchFacts(4, 2, "trie", "codes", 8), graph, 1, 1, {})
    # keys, values 32 each; queries 64, output 64, MLP 3 · 8 · 16, one of them 2 · (8 + 16) in the first block
    first, second = 10 * (64 + 128 + 256 + 48), 10 * 64 + 4 * (128 + 384)
    attention = 2 * 8 * ((7 * 10 + 3 * 13) + (1 * 10 + 3 * 13))
    assert recommendation_flops(manifest, 16, 10, 10) == 2 * (first + second + attention + 4 * 8 * 10)


def test_unknown_shape_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BenchError, match="smollm2-135m"):
        find_shape("huge")


def test_rows_refer_to_rows_that_exist() -> None:
    names = {spec.name for spec in ROWS}
    assert {spec.reference for spec in ROWS} <= {"", *names, *(spec.name for spec in UNTIMED)}
    assert {name for _, one, other in RATIOS for name in (one, other)} <= names


def test_summary_counts_identical_lists_and_their_differences() -> None:
    spec = next(spec for spec in ROWS if spec.name == "torch-search")
    lists = {
        "transformers-generate": Lists([[1, 2, 3], [4, 5, 6]], [[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0]], 7),
        "torch-search": Lists([[1, 2, 9], [5, 4, 6]], [[-1.0, -2.5, -3.0], [-1.0, -1.25, -3.0]], 8),
    }
    row = summarize_row(spec, timing([3.0, 5.0]), lists, top_k=2)
    assert (row.identical_lists, row.histories, row.peak_memory_bytes) == (1, 2, 8)
    assert row.max_score_difference == pytest.approx(0.5)
    assert row.smallest_score_gap == pytest.approx(0.25)
    assert row.wall_ms_p50 == 4.0


def test_ratios_are_medians_of_pairs() -> None:
    by_name = {"transformers-generate": 12.0, "torch-search": 2.0, "graph-keep-0.5-codes": 0.5}
    timings = [timing([factor * by_name.get(spec.name, 1.0) for factor in (1, 5, 9)]) for spec in ROWS]
    found = {name: (ratio.cpu, ratio.wall) for name, ratio in ratio_intervals(timings).items()}
    assert found == {
        "transformers/graph-dense-vocab": (12.0, 12.0),
        "transformers/graph-keep-0.5-codes": (24.0, 24.0),
        "transformers/graph-keep-0.5-int8": (12.0, 12.0),
        "transformers/graph-keep-0.5-int8-session": (12.0, 12.0),
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
def test_tiny_benchmark_agrees_from_end_to_end(tmp_path: Path) -> None:
    from mobile_bench.baselines.run import SUMMARY_FILE, run

    summary = run(find_shape("tiny"), tmp_path, rounds=3, histories=3)
    exact = {spec.name for spec in ROWS if spec.exact}
    rows = [row for row in summary.rows if row.name in exact]
    assert {row.name: row.identical_lists for row in rows} == dict.fromkeys(exact, 3)
    assert all(row.max_score_difference < 1e-4 < row.smallest_score_gap for row in rows)
    written = read_json(tmp_path / SUMMARY_FILE)
    assert set(written["ratios"]) == {name for name, _, _ in RATIOS}
    built = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.data")}
    run(find_shape("tiny"), tmp_path, rounds=1, histories=3)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.data")} == built
