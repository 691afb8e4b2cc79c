"""Precisions compared: the verb, its figures, and its place in the demo."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lcrec.dataset import load_dataset
from odllm.precisions import DEFAULT_NAMES, STEPS_NAMES, compare_precisions
from odllm_artifact import read_json, write_json
from odllm_export.errors import ExportError
from odllm_export.precision import DEVICE_PROFILES


@pytest.fixture
def model(demo_run):
    return demo_run / "models" / "compressed"


@pytest.fixture
def dataset(demo_run):
    return demo_run / "dataset"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where bundles lie while they are measured."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def left_in(folder):
    """Return what lies in a folder but for `.ses`, which onnxruntime puts into TMPDIR when it is imported."""
    return [path.name for path in folder.iterdir() if path.name != ".ses"]


def test_rounded_bundles_are_smaller_and_near_and_fp32_is_the_model(model, dataset, temporary):
    reports = []
    rows = compare_precisions(
        model,
        load_dataset(dataset),
        ["int4-block32", "int8-block32", "int4-block32"],
        histories=20,
        users=200,
        progress=lambda done, total, note="": reports.append((done, total, note)),
    )
    fp32, int4, int8 = rows
    assert [row.precision for row in rows] == ["fp32", "int4-block32", "int8-block32"]
    assert (fp32.mean_overlap, fp32.same_first_item) == (1.0, 1.0)
    assert (fp32.ndcg_10_ratio, fp32.ndcg_10_change_interval) == (1.0, (0.0, 0.0))
    assert fp32.weight_bytes > int8.weight_bytes > int4.weight_bytes
    assert 0.3 < int4.mean_overlap < 1
    assert int4.mean_overlap < int8.mean_overlap <= 1
    for row in rows:
        assert (row.histories, row.top_k, row.users) == (20, 10, 200)
        assert row.bundle_bytes > row.weight_bytes
        assert row.ndcg_10_interval[0] <= row.ndcg_10 <= row.ndcg_10_interval[1]
        assert row.hit_rate_10 >= row.ndcg_10
        assert row.ndcg_10_ratio == pytest.approx(row.ndcg_10 / fp32.ndcg_10)
        assert row.hit_rate_10_ratio == pytest.approx(row.hit_rate_10 / fp32.hit_rate_10)
    done, total, _ = (np.array([report[i] for report in reports]) for i in range(3))
    assert (np.diff(done.astype(float)) >= 0).all()
    assert done[-1] == total[-1]
    assert left_in(temporary) == []


def test_figures_are_those_of_verify_and_evaluate(odllm, model, dataset, tmp_path):
    bundle = tmp_path / "int8"
    odllm("export", model, "--dataset", dataset, "--out", bundle, "--precision", "int8-dynamic")
    _, out, _ = odllm(
        "verify", bundle, "--model", model, "--dataset", dataset, "--histories", 15, "--json", "--min-overlap", 0
    )
    verified = json.loads(out)
    _, out, _ = odllm("evaluate", bundle, "--dataset", dataset, "--users", 150, "--no-baselines", "--json")
    evaluated = json.loads(out)["int8"]
    _, row = compare_precisions(model, load_dataset(dataset), ["int8-dynamic"], histories=15, users=150)
    assert row.mean_overlap == pytest.approx(verified["mean_overlap"])
    assert row.same_first_item == pytest.approx(verified["same_first_item"])
    assert (row.ndcg_10, row.hit_rate_10) == (evaluated["ndcg@10"], evaluated["hit_rate@10"])
    assert list(row.ndcg_10_interval) == evaluated["ndcg@10_interval"]
    assert row.weight_bytes == (bundle / "recommend.onnx.data").stat().st_size
    # The manifest's JSON is as long, but for the digits of sizes.
    assert row.bundle_bytes == pytest.approx(sum(file.stat().st_size for file in bundle.iterdir()), abs=100)


def test_the_verb_prints_a_table_and_what_auto_takes(odllm, model, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("odllm.console.out.width", 80)
    out_file = tmp_path / "new" / "precisions.json"
    code, out, err = odllm(
        "precisions", model, "--dataset", dataset, "--precision", "fp16", "--precision", "int4-block128",
        "--users", 20, "--histories", 4, "--out", out_file,
    )  # fmt: skip
    assert code == 0
    for name, profile in DEVICE_PROFILES.items():
        assert f"  {name}: {profile.precision}. {profile.reason}\n" in out
    assert all(f"│ {name} " in out for name in ("fp32", "fp16", "int4-block128"))
    assert not [line for line in out.splitlines() if "…" in line]  # the table fits a terminal
    assert "100 %" in err
    record = read_json(out_file)
    assert [row["precision"] for row in record["precisions"]] == ["fp32", "fp16", "int4-block128"]
    assert record["auto"]["arm-base"]["precision"] == "fp32"


def test_json_has_every_default(odllm, model, dataset):
    code, out, _ = odllm("precisions", model, "--dataset", dataset, "--users", 2, "--histories", 1, "--json")
    assert code == 0
    rows = json.loads(out)["precisions"]
    assert [row["precision"] for row in rows] == list(DEFAULT_NAMES)
    assert {"hit_rate@10", "ndcg@10_interval", "ndcg@10_ratio", "ndcg@10_change_interval"} <= set(rows[0])


def test_form_steps_has_its_own_precisions(odllm, model, dataset):
    code, out, err = odllm(
        "precisions", model, "--dataset", dataset, "--form", "steps", "--users", 2, "--histories", 4, "--json"
    )
    assert code == 0, err
    rows = {row["precision"]: row for row in json.loads(out)["precisions"]}
    assert list(rows) == list(STEPS_NAMES)
    assert rows["fp32"]["mean_overlap"] == 1
    assert rows["int8-qdq"]["weight_bytes"] < rows["fp16"]["weight_bytes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--precision", "int3"), "'int3' is not one of fp32, fp16"),
        (("--precision", "auto"), "'auto' is not one of fp32, fp16"),
        (("--precision", "int8-qdq"), "int8-dynamic is the finer choice there"),
        (("--form", "steps", "--precision", "int8-dynamic"), "form steps has fp32, fp16"),
        (("--users", "0"), "--users"),
        (("--histories", "0"), "--histories"),
        (("--out", "."), "is a folder"),
    ],
)
def test_wrong_usage_is_refused_before_any_work(odllm, model, dataset, temporary, arguments, message):
    code, out, err = odllm("precisions", model, "--dataset", dataset, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert " % after" not in err
    assert left_in(temporary) == []


def test_a_failed_export_leaves_nothing(model, dataset, temporary, monkeypatch):
    def fail(*_, **__):
        raise ExportError("no")

    monkeypatch.setattr("odllm_export.export.model_card", fail)
    with pytest.raises(ExportError, match="no"):
        compare_precisions(model, load_dataset(dataset), ["fp16"], histories=1, users=1)
    assert left_in(temporary) == []


def test_ctrl_c_leaves_nothing(model, dataset, temporary, tmp_path):
    out = tmp_path / "precisions.json"
    arguments = ["precisions", str(model), "--dataset", str(dataset), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "odllm", *arguments], stderr=subprocess.PIPE, env=os.environ | {"TMPDIR": str(temporary)}
    )
    deadline = time.monotonic() + 120
    while not list(temporary.glob("*/*/manifest.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said.decode()
    assert left_in(temporary) == []
    assert not out.exists()


def test_the_demo_reports_precisions_of_the_compressed_model(demo_run):
    found = read_json(demo_run / "summary.json")["precisions"]
    assert list(found) == list(DEFAULT_NAMES)
    assert found["fp32"]["mean_overlap"] == 1
    assert found["fp32"]["bundle_bytes"] == read_json(demo_run / "summary.json")["compressed"]["bundle_bytes"]
    assert found["int8-dynamic"]["weight_bytes"] < found["fp16"]["weight_bytes"] < found["fp32"]["weight_bytes"]
    page = (demo_run / "report.html").read_text()
    assert "Smaller still: weights in fewer bits" in page
    assert all(f'<th scope="row">{name}<small>' in page for name in DEFAULT_NAMES)


def test_the_demo_compares_precisions_again_only_for_another_bundle(demo_run):
    from odllm.demo import Demo
    from odllm.demo_folder import QUICK

    def fingerprint():
        (stage,) = [stage for stage in Demo(demo_run, QUICK)._stages() if stage.name == "precisions"]
        return stage.fingerprint()

    path = demo_run / "bundles" / "compressed" / "manifest.json"
    before, manifest = path.read_bytes(), read_json(path)
    done = read_json(demo_run / "stages.json")["precisions"]["fingerprint"]
    assert fingerprint() == done
    try:
        write_json(path, manifest | {"name": "another"})
        assert fingerprint() != done
    finally:
        path.write_bytes(before)
