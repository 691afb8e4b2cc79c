from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from bench_settings import QUICK

from mobile_bench.errors import BenchError
from mobile_bench.self_check import self_check
from mobile_bench.slower_bundle import add_idle_work
from odllm_export.bundle import GRAPH, read_manifest, write_manifest
from odllm_export.runtime import Recommender


def test_idle_work_is_done_and_changes_no_list(golden_bundle: Path, tmp_path: Path) -> None:
    add_idle_work(golden_bundle, tmp_path / "slower", 3)
    history = np.array([3, 4])
    with Recommender.open(golden_bundle) as one, Recommender.open(tmp_path / "slower") as other:
        answers = one.recommend_rows(history), other.recommend_rows(history)
    for ours, theirs in zip(*answers, strict=True):
        assert ours.tolist() == theirs.tolist()
    assert products(tmp_path / "slower") - products(golden_bundle) == 3


def products(bundle: Path) -> int:
    return sum(node.op_type == "MatMul" for node in onnx.load(bundle / GRAPH, load_external_data=False).graph.node)


def test_bundle_of_another_form_is_refused(golden_bundle: Path, tmp_path: Path) -> None:
    manifest = read_manifest(golden_bundle)
    files = {name: fact for name, fact in manifest.files.items() if name != GRAPH}
    (tmp_path / "steps").mkdir()
    write_manifest(msgspec.structs.replace(manifest, files=files), tmp_path / "steps")
    with pytest.raises(BenchError, match="only forms loop and unrolled"):
        add_idle_work(tmp_path / "steps", tmp_path / "slower", 3)


@pytest.mark.slow
def test_a_check_answers_all_three_questions(golden_bundle: Path) -> None:
    found = self_check(golden_bundle, more_work=1.0, settings=QUICK)
    assert found.call_ms > 0
    assert found.overhead_low <= found.overhead_share <= found.overhead_high
    assert (found.side_by_side.paired_by, found.in_two_runs.paired_by) == ("rounds", "histories")
    assert found.side_by_side.one == "copy · cpu · 1 thread"
    assert found.slower.one == "slower · cpu · 1 thread"
    assert found.work_added > 0
