"""`odllm study`: its folders, its table, its plot, and what it refuses."""

import json

import pytest

from compression.config import preset
from mobile_bench.protocol import Settings
from odllm.studies.bundles import time_bundles
from odllm.studies.cells import DENSE, Recipe
from odllm.studies.protocol import Protocol
from odllm.studies.running import Bench
from odllm.studies.study import read_rows
from odllm.verbs.study import command_line
from odllm_artifact import read_json

PNG = b"\x89PNG\r\n\x1a\n"


def study(odllm, name, case, out, *options):
    model, dataset = case
    return odllm("study", name, model, "--dataset", dataset, "--out", out, "--users", 20, *options)


def check(out, rows):
    record = read_json(out / "study.json")
    assert len(record["rows"]) == rows == len(read_rows(out))
    assert (out / "plot.png").read_bytes().startswith(PNG)
    table = (out / "table.md").read_text()
    assert f"```\n{record['command']}\n```" in table
    assert "20 of 40 users, the same for every row" in table
    return record, table


def test_ratio(odllm, study_case, tmp_path):
    out = tmp_path / "ratio"
    code, printed, err = study(odllm, "ratio", study_case, out, "--ratios", "0.5,0.8", "--presets", "default,plain-svd")
    assert code == 0
    assert "cell 1 of 5: dense" in err
    record, table = check(out, 5)
    assert printed.strip() == table.strip()
    assert record["command"].startswith("odllm study ratio dense --dataset dataset --out ratio")
    assert len(record["cells"]) == 5
    assert {"ranks", "compression_s", "evaluation_s", "recipe"} <= set(record["cells"][1])
    assert record["cells"][1]["recipe"]["config"]["keep_ratio"] == 0.5
    assert len(record["user_rows"]) == 20


def test_a_second_run_computes_only_what_is_new(odllm, study_case, tmp_path):
    out = tmp_path / "ratio"
    study(odllm, "ratio", study_case, out, "--ratios", "0.5")
    before = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    code, _, err = study(odllm, "ratio", study_case, out, "--ratios", "0.5,0.8")
    assert code == 0
    assert "cell 1 of 1" in err
    after = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == 3


def test_studies_share_cells(odllm, study_case, tmp_path):
    cells = tmp_path / "cells"
    study(odllm, "ratio", study_case, tmp_path / "a", "--ratios", "0.5", "--cells", cells)
    code, _, err = study(odllm, "ablation", study_case, tmp_path / "b", "--cells", cells)
    assert code == 0
    assert "of 6:" in err  # dense and default were there
    check(tmp_path / "b", 8)


def test_calibration_counts_tokens(odllm, study_case, tmp_path):
    options = ("--counts", "10,30", "--presets", "whitened", "--seeds", "0,1")
    code, _, _ = study(odllm, "calibration", study_case, tmp_path / "out", *options)
    assert code == 0
    record, _ = check(tmp_path / "out", 3)
    _, few, many = record["rows"]
    assert 0 < few["calibration_tokens"] < many["calibration_tokens"]
    assert (few["seeds"], few["x"]) == (2, 10)


def test_precision_with_a_bundle(odllm, study_case, tmp_path):
    options = ("--precisions", "int8-block32", "--bundles", "fp32")
    code, printed, _ = study(odllm, "precision", study_case, tmp_path / "out", *options)
    assert code == 0
    record, _ = check(tmp_path / "out", 6)
    cells = {(cell["line"], cell["recipe"]["precision"]): cell for cell in record["cells"]}
    rows = {(row["line"], row["precision"]): row for row in record["rows"]}
    assert rows["keep 0.5, bundle", "fp32"]["ndcg@10"] == rows["keep 0.5", "fp32"]["ndcg@10"]
    assert cells["dense, rounded", "int8-block32"]["weight_bytes"] < cells["dense", "fp32"]["weight_bytes"] / 2
    assert "dense, rounded at fp32 1.0000, keep 0.5 at fp32 1.0000" in printed


def test_bundles_are_timed_side_by_side(study_case, tmp_path):
    model, dataset = study_case
    (tmp_path / "out").mkdir()
    bench = Bench({DENSE: model}, dataset, Protocol(users=20), tmp_path / "cells")
    settings = Settings(
        min_seconds=0, min_calls=2, min_rounds=2, warm_up_calls=1, warm_loads=1, memory_calls=1, energy_seconds=0
    )
    half = Recipe(config=preset("plain-svd"), sequences=20, precision="int8-block32")
    pair = [("half-int8", half), ("dense-int4", Recipe(precision="int4-block32"))]
    table = time_bundles(bench, pair, tmp_path / "out", settings=settings)
    assert [line.split("|")[2].strip() for line in table.splitlines()[2:6]] == ["1", "1", "5", "5"]
    assert "half-int8 ÷ dense-int4" in table.replace(" · cpu · 1 thread", "")
    assert (tmp_path / "out" / "times.md").read_text() == table
    assert set(read_json(tmp_path / "out" / "times.json")) == {"1", "5"}


def test_streaming_asks_step_by_step(odllm, study_case, tmp_path):
    options = ("--steps", "3", "--shares", "0.5,1")
    model, dataset = study_case
    code, _, _ = odllm(
        "study", "streaming", model, "--dataset", dataset, "--out", tmp_path / "out", "--users", 0, *options
    )
    assert code == 0
    rows = read_rows(tmp_path / "out")
    assert [row.step for row in rows] == [3, 2, 1] * 3
    early, whole = rows[3], rows[6]
    assert early.calibration_tokens < whole.calibration_tokens
    assert rows[0].users < 40


def test_compare_any_folders(odllm, study_case, tmp_path, make_model_folder):
    model, dataset = study_case
    other, _ = make_model_folder("other", seed=5)
    bundle = tmp_path / "bundle"
    assert odllm("export", model, "--dataset", dataset, "--out", bundle)[0] == 0
    code, _, _ = odllm(
        "study", "compare", "--dense", model, "--dataset", dataset, "--out", tmp_path / "out", "--users", 20,
        "--models", f"other={other},rounded={model}@int4-block32,exported={bundle}",
    )  # fmt: skip
    assert code == 0
    record, _ = check(tmp_path / "out", 6)
    rows = {row["label"]: row for row in record["rows"]}
    assert rows["exported"]["ndcg@10"] == rows["dense"]["ndcg@10"]
    assert rows["rounded"]["weight_bytes"] < rows["other"]["weight_bytes"] == rows["dense"]["weight_bytes"]
    assert rows["popular items"]["parameters"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ratio", "--presets", "nothing"), "preset is 'nothing'"),
        (("ratio", "--ratios", "0.5,x"), "is not a list of numbers"),
        (("ratio", "--ratios", "1.5"), "1.5"),
        (("ratio", "--seeds", "a"), "is not a list of whole numbers"),
        (("ratio", "--presets", ","), "an empty list was given"),
        (("precision", "--precisions", "int5"), "'int5' is not one of"),
        (("precision", "--bundles", "int3-block32"), "'int3-block32' is not one of"),
        (("streaming", "--shares", "0,1"), "expected shares above 0"),
    ],
)
def test_wrong_usage_is_refused_before_any_work(odllm, study_case, tmp_path, arguments, message):
    name, *options = arguments
    code, out, err = study(odllm, name, study_case, tmp_path / "out", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("", "nothing to compare"),
        ("a", "'a' is not of the form"),
        ("a=nowhere", "nowhere is no folder"),
        ("dense=.", "the name 'dense' is taken"),
        ("a=.,a=.", "the name 'a' is taken"),
    ],
)
def test_rivals_that_are_none_are_refused(odllm, study_case, tmp_path, models, message):
    model, dataset = study_case
    options = ("--dense", model, "--models", models, "--dataset", dataset, "--out", tmp_path / "out")
    code, _, err = odllm("study", "compare", *options)
    assert code == 2
    assert message in err


def test_a_folder_of_something_else_is_left_alone(odllm, study_case, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    code, _, err = study(odllm, "ratio", study_case, tmp_path / "out", "--ratios", "0.5")
    assert code == 2
    assert "holds something that is no study" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["letter.txt"]


def test_a_study_of_a_newer_schema_is_refused(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(Exception, match="schema version 99"):
        read_rows(tmp_path)


def test_absolute_paths_are_not_told():
    arguments = ["study", "compare", "--models", "a=/x/y/small,b=runs/b@int4-block32", "--dense", "/x/y/dense"]
    assert command_line(arguments) == "odllm study compare --models a=small,b=runs/b@int4-block32 --dense dense"
