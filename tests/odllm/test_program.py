"""The program as its users meet it: verbs, exit codes, words."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import odllm.__main__ as program
from odllm_artifact import read_json, sha256_file, sha256_folder, write_json

VERBS = (
    "data",
    "codes",
    "train",
    "base",
    "finetune",
    "evaluate",
    "compress",
    "recover",
    "export",
    "export-processor",
    "check",
    "verify",
    "precisions",
    "recommend",
    "catalog",
    "bench",
    "web",
    "demo",
)


@pytest.fixture
def dense(demo_run):
    return demo_run / "models" / "dense"


@pytest.fixture
def dataset(demo_run):
    return demo_run / "dataset"


def test_libraries_bars_stay_out_of_logs():
    code = (
        "import sys; import odllm.__main__ as program; sys.argv = ['odllm', '--help']\n"
        "try: program.main()\n"
        "except SystemExit: import tqdm.auto; list(tqdm.auto.tqdm(range(9)))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stderr == ""


def test_help_names_every_verb_and_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['odllm', '--help']\n"
        "from odllm.__main__ import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'transformers', 'onnx', 'sklearn', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(verb in result.stdout for verb in VERBS)
    assert result.stdout.strip().endswith("[]")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(odllm, verb):
    code, out, _ = odllm(verb, "--help")
    assert code == 0
    assert "Usage: odllm" in out


def test_recommend_answers_in_titles_and_as_json(odllm, bundle):
    code, out, err = odllm("recommend", bundle, "--history", "1,260,1196", "--top-k", 3)
    assert code == 0
    assert "Toy Story (1995)" in err
    assert "3 items in" in out
    code, out, _ = odllm("recommend", bundle, "--history", "1, 260", "--block", "1196", "--json")
    items = [item["item_id"] for item in json.loads(out)["items"]]
    assert code == 0
    assert len(set(items)) == 10
    assert not {"1", "260", "1196"} & set(items)


def test_recommend_can_let_seen_items_come_back(odllm, bundle):
    _, left_out, _ = odllm("recommend", bundle, "--history", "1", "--top-k", 20, "--json")
    _, kept, _ = odllm("recommend", bundle, "--history", "1", "--top-k", 20, "--json", "--include-seen")
    assert "1" not in [item["item_id"] for item in json.loads(left_out)["items"]]
    assert json.loads(kept)["items"] != json.loads(left_out)["items"]


def test_a_history_longer_than_the_window_is_said(odllm, bundle):
    items = [json.loads(line)["id"] for line in (bundle / "items.jsonl").read_text().splitlines()[:25]]
    code, _, err = odllm("recommend", bundle, "--history", ",".join(items))
    assert code == 0
    assert "the history has 25 items; this model reads the last 20" in err


@pytest.mark.parametrize(
    ("history", "message"),
    [("", "history is empty"), ("1,999999", "'999999' is not in this bundle's 2078 items"), (" , ", "empty")],
)
def test_histories_that_cannot_be_asked_about(odllm, bundle, history, message):
    code, out, err = odllm("recommend", bundle, "--history", history)
    assert (code, out) == (2, "")
    assert message in err


def test_one_flipped_byte_is_found(odllm, bundle):
    path = bundle / "recommend.onnx.data"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    path.write_bytes(data)
    code, _, err = odllm("recommend", bundle, "--history", "1")
    assert code == 2
    assert "recommend.onnx.data is damaged" in err.replace("\n", "")


def test_verify_says_how_many_lists_are_identical(odllm, bundle, demo_run, dataset):
    model = demo_run / "models" / "compressed"
    code, out, _ = odllm("verify", bundle, "--model", model, "--dataset", dataset, "--histories", 6, "--json")
    assert code == 0
    assert json.loads(out)["identical_lists"] == 6
    code, _, err = odllm("verify", bundle, "--model", model, "--histories", 4)
    assert code == 0
    assert "4 of 4 lists identical" in err


def test_verify_ends_with_three_and_the_first_difference(odllm, bundle, demo_run):
    data = bundle / "recommend.onnx.data"
    (np.fromfile(data, np.float32) * np.float32(1.1)).tofile(data)
    manifest = read_json(bundle / "manifest.json")
    manifest["files"][data.name]["sha256"] = sha256_file(data)  # another bundle, whole in itself
    write_json(bundle / "manifest.json", manifest)
    code, _, err = odllm("verify", bundle, "--model", demo_run / "models" / "compressed", "--histories", 3)
    assert code == 3
    assert "3 of 3 lists differ" in err


def test_verify_against_another_model_ends_with_three(odllm, bundle, dense):
    code, _, err = odllm("verify", bundle, "--model", dense)
    assert code == 3
    assert "exported from a checkpoint" in err


def test_evaluate_gives_the_same_figures_for_bundle_and_model(odllm, bundle, demo_run, dataset):
    _, out, _ = odllm("evaluate", bundle, "--dataset", dataset, "--users", 40, "--json")
    _, other, _ = odllm("evaluate", demo_run / "models" / "compressed", "--dataset", dataset, "--users", 40, "--json")
    ours, models = json.loads(out)["bundle"], json.loads(other)["compressed"]
    for key in ("hit_rate@10", "ndcg@10", "hit_rate@1", "users"):
        assert ours[key] == pytest.approx(models[key])
    assert "popularity" in json.loads(out)


def test_evaluate_prints_a_table(odllm, dense, dataset):
    code, out, _ = odllm("evaluate", dense, "--dataset", dataset, "--users", 10, "--constraint", "levels")
    assert code == 0
    assert "illegal" in out
    assert "last item" in out


def test_evaluate_refuses_another_search_of_a_bundle(odllm, bundle, dataset):
    code, _, err = odllm("evaluate", bundle, "--dataset", dataset, "--constraint", "levels")
    assert code == 2
    assert "searches under 'trie'" in err


@pytest.mark.parametrize("ratio", ["0", "-0.5", "1.5", "nan"])
def test_a_keep_ratio_that_makes_no_sense_is_refused(odllm, dense, dataset, tmp_path, ratio):
    code, _, err = odllm("compress", dense, "--dataset", dataset, "--out", tmp_path / "m", f"--keep-ratio={ratio}")
    assert code == 2
    assert "keep" in err
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_family_is_refused(odllm, dense, dataset, tmp_path):
    import shutil

    model = shutil.copytree(dense, tmp_path / "gpt2")
    write_json(model / "config.json", read_json(model / "config.json") | {"model_type": "gpt2"})
    for verb in ("compress", "export"):
        code, _, err = odllm(verb, model, "--dataset", dataset, "--out", tmp_path / "out")
        assert code == 2
        assert "'gpt2'" in err
    assert [path.name for path in tmp_path.iterdir()] == ["gpt2"]


def test_compress_reports_and_its_model_exports(odllm, dense, dataset, tmp_path):
    out = tmp_path / "small"
    code, table, _ = odllm(
        "compress", dense, "--dataset", dataset, "--out", out, "--keep-ratio", 0.3, "--sequences", 64
    )
    assert code == 0
    assert "rank" in table
    assert read_json(out / "compression.json")["calibration"]["sequences"] == 64
    assert read_json(out / "compression.json")["keep_ratio"] <= 0.3
    code, _, err = odllm("export", out, "--dataset", dataset, "--out", tmp_path / "bundle", "--golden", 2)
    assert code == 0
    assert "odllm verify" in err


@pytest.mark.parametrize("method", ["factors", "lora"])
def test_recover_distils_a_compressed_model_without_changing_its_shape(
    odllm, demo_run, dense, dataset, tmp_path, method
):
    if method == "lora":
        pytest.importorskip("peft")
    small, out = demo_run / "models" / "training-free", tmp_path / "out"
    arguments = ("--dense", dense, "--dataset", dataset, "--out", out, "--steps", 3, "--method", method)
    code, _, err = odllm("recover", small, *arguments)
    assert code == 0
    assert f"recovery: {method}, " in err
    record = read_json(out / "compression.json")
    assert record["recovery"]["steps"] == 3
    assert record["linears"] == read_json(small / "compression.json")["linears"]
    for name in ("low_rank.json", "recommender.json"):
        assert read_json(out / name) == read_json(small / name)


def test_a_dense_model_has_nothing_to_recover(odllm, dense, dataset, tmp_path):
    code, _, err = odllm("recover", dense, "--dense", dense, "--dataset", dataset, "--out", tmp_path / "out")
    assert code == 2
    assert "no low-rank projection to train" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--calibration", "best"), "expected one of covering, random"),
        (("--sequences", 8, "--calibration-tokens", 8), "give either sequences or tokens"),
        (("--recover", 1, "--recovery-method", "prefix"), "expected 'factors' or 'lora'"),
    ],
)
def test_options_of_calibration_and_recovery_are_refused_at_once(odllm, dense, dataset, tmp_path, options, message):
    code, _, err = odllm("compress", dense, "--dataset", dataset, "--out", tmp_path / "m", *options)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_data_file_is_named(odllm, dataset, tmp_path, dense):
    import shutil

    data = shutil.copytree(dataset, tmp_path / "data")
    path = data / "sequences.jsonl"
    path.write_bytes(path.read_bytes()[:-200])
    code, _, err = odllm("evaluate", dense, "--dataset", data)
    assert code == 2
    assert "sequences.jsonl" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("recommend", "nowhere", "--history", "1"),
        ("export", "nowhere", "--dataset", "nowhere", "--out", "x"),
        ("evaluate", "nowhere", "--dataset", "nowhere"),
        ("verify", "nowhere", "--model", "nowhere"),
        ("precisions", "nowhere", "--dataset", "nowhere"),
        ("bench", "nowhere"),
        ("codes", "nowhere"),
        ("train", "nowhere", "--out", "x"),
        ("compress", "nowhere", "--dataset", "nowhere", "--out", "x"),
        ("recover", "nowhere", "--dense", "nowhere", "--dataset", "nowhere", "--out", "x"),
        ("data", "stats", "nowhere"),
        ("data", "import", "nowhere", "--format", "csv", "--out", "x"),
    ],
    ids=lambda a: a[0],
)
def test_a_wrong_path_is_named(odllm, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = odllm(*arguments)
    assert code == 2
    assert "nowhere" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("train",), ("sing",), ("recommend", "b", "--history"), ("train", "--fast")])
def test_usage_errors_end_with_two(odllm, arguments):
    code, _, err = odllm(*arguments)
    assert code == 2
    assert "Usage" in err or "requires an argument" in err


def test_a_full_disk_is_said_and_leaves_nothing(odllm, dense, dataset, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "x"))

    monkeypatch.setattr("odllm_export.graph.builder.WeightFile.add", full)
    code, _, err = odllm("export", dense, "--dataset", dataset, "--out", tmp_path / "bundle")
    assert code == 2
    assert "No space left on device" in err
    assert list(tmp_path.iterdir()) == []


def test_our_own_defects_are_not_dressed_up(odllm, bundle, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("odllm_export.runtime.Recommender.open", broken)
    with pytest.raises(ZeroDivisionError):
        odllm("recommend", bundle, "--history", "1")


def test_ctrl_c_leaves_no_model_and_the_next_run_goes_on(dataset, tmp_path):
    command = [sys.executable, "-m", "odllm", "train", str(dataset), "--out", str(tmp_path / "model"), "--epochs", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "model.partial" / "training.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from there" in err
    assert [path.name for path in tmp_path.iterdir()] == ["model.partial"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 epochs" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_the_demo_leaves_a_summary_a_report_and_nothing_half_done(demo_run):
    result = read_json(demo_run / "summary.json")
    keys = {"parameters", "bundle_bytes", "hit_rate@10", "ndcg@10", "time_to_top_k_ms", "peak_memory_bytes"}
    for name in ("dense", "compressed", "training_free"):
        assert set(result[name]) == keys
        assert set(result[name]["time_to_top_k_ms"]) == {"p50", "p90"}
    assert result["verify"]["identical_lists"] == result["verify"]["histories"] == 10
    assert result["compressed"]["bundle_bytes"] < result["dense"]["bundle_bytes"]
    assert result["seconds"] > 0
    page = (demo_run / "report.html").read_text()
    assert "Star Wars" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert not [path.name for path in demo_run.rglob("*") if path.name.endswith((".partial", ".writing"))]


def test_a_second_run_of_the_demo_does_nothing_again(demo_run, odllm):
    before = {name: sha256_folder(demo_run / name) for name in ("dataset", "models", "bundles")}
    code, out, err = odllm("demo", "--quick", "--out", demo_run)
    assert code == 0
    assert err.count("done before") == 15
    assert "→" in out
    assert {name: sha256_folder(demo_run / name) for name in before} == before


def test_a_changed_setting_runs_what_depends_on_it_again(tmp_path):
    from odllm.stages import Stage, run_stages

    ran = []

    def stage(name, source, setting=0):
        def run():
            ran.append(name)
            (tmp_path / name).write_text(f"{name} {setting}")

        return Stage(name, name, run, tmp_path / name, [tmp_path / source] if source else [], {"setting": setting})

    chain = [stage("a", None), stage("b", "a"), stage("c", None)]
    run_stages(chain, tmp_path / "stages.json")
    run_stages(chain, tmp_path / "stages.json")
    assert ran == ["a", "b", "c"]
    run_stages([stage("a", None, 1), stage("b", "a"), stage("c", None)], tmp_path / "stages.json")
    assert ran == ["a", "b", "c", "a", "b"]


def test_bench_measures_and_writes_records(odllm, bundle, tmp_path):
    code, out, _ = odllm(
        "bench", bundle, "--min-seconds", 0.1, "--min-calls", 10, "--json", "--out", tmp_path / "records.json"
    )
    assert code == 0
    (record,) = json.loads(out)["records"]
    assert record["execution"]["placement"]["products"]
    assert np.median(record["time_to_top_k"]["wall_ms"]) > 0
    assert (tmp_path / "records.json").is_file()


def test_an_interrupt_that_native_code_made_an_error_of_is_still_one(monkeypatch, capsys):
    def app() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None

    monkeypatch.setattr(program, "build_app", lambda: app)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 130
    assert "stopped" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_defect_without_an_interrupt_shows_itself(monkeypatch):
    def app() -> None:
        raise ValueError("ours")

    monkeypatch.setattr(program, "build_app", lambda: app)
    with pytest.raises(ValueError, match="ours"):
        program.main()
