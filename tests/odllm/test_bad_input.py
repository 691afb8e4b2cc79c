"""Bad input as users meet it: the program says what is wrong, ends with 2, and leaves nothing behind."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from random_models import factor
from safetensors.numpy import load_file, save_file

from lcrec.dataset import save_dataset
from odllm_artifact import read_json, sha256_file, sha256_folder, write_json
from odllm_export import bundle
from odllm_export.export import ExportOptions, export_bundle

QUERY = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def model(make_model_folder):
    return make_model_folder()[0]


@pytest.fixture
def dataset(make_dataset, tmp_path):
    save_dataset(make_dataset(), tmp_path / "dataset")
    return tmp_path / "dataset"


@pytest.fixture
def exported(model, make_dataset, tmp_path):
    export_bundle(model, make_dataset(), tmp_path / "bundle", ExportOptions(num_beams=6, top_k=3, golden=2))
    return tmp_path / "bundle"


def change_tensors(model, change):
    path = model / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def missing(tensors):
    del tensors[QUERY]


def too_many(tensors):
    tensors["model.layers.9.mlp.up_proj.weight"] = np.zeros((4, 4), np.float32)


def misshapen(tensors):
    tensors[QUERY] = tensors[QUERY][:-4].copy()


def not_a_number(tensors):
    tensors[QUERY][3, 3] = np.nan


def infinite(tensors):
    tensors["model.embed_tokens.weight"][0, 0] = np.inf  # a row that the prompts cannot contain counts too


def whole_numbers(tensors):
    tensors[QUERY] = tensors[QUERY].astype(np.int32)


@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (missing, f"no tensor '{QUERY}'"),
        (too_many, "1 tensors of"),
        (misshapen, "has shape [28, 32], expected [32, 32]"),
        (not_a_number, "not finite"),
        (infinite, "'model.embed_tokens.weight'"),
        (whole_numbers, "stored as I32"),
    ],
)
def test_export_refuses_tensors(odllm, model, dataset, tmp_path, change, message, precision):
    change_tensors(model, change)
    before = sorted(path.name for path in tmp_path.iterdir())
    arguments = ("--dataset", dataset, "--out", tmp_path / "bundle", "--precision", precision)
    code, out, err = odllm("export", model, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("recommender.json", "first_code_token", 20, "last code token is 31"),
        ("recommender.json", "first_code_token", -1, "token -1 is outside the model's vocabulary"),
        ("recommender.json", "prefix_ids", [1, 500], "token 500 is outside the model's vocabulary of 25"),
        ("recommender.json", "code_sizes", [4, 4, 4, 4], "have 3 levels, those of"),
        ("recommender.json", "schema_version", 9, "schema version 9"),
        ("config.json", "num_attention_heads", 5, "config.json"),
        ("config.json", "vocab_size", "many", "config.json"),
        ("config.json", "hidden_size", 36, "expected"),
    ],
)
def test_export_refuses_settings(odllm, model, dataset, tmp_path, name, key, value, message):
    content = read_json(model / name)
    (content["prompt"] if key in content.get("prompt", {}) else content)[key] = value
    write_json(model / name, content)
    before = sorted(path.name for path in tmp_path.iterdir())
    code, out, err = odllm("export", model, "--dataset", dataset, "--out", tmp_path / "bundle")
    assert (code, out) == (2, "")
    assert message in err.replace("\n", " ")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_export_refuses_a_rank_file_that_is_not_the_tensors_own(odllm, make_model_folder, dataset, tmp_path):
    model, _ = make_model_folder(name="factored", change=factor())
    ranks = read_json(model / "low_rank.json")
    ranks["ranks"]["model.layers.0.self_attn.q_proj"] += 1
    write_json(model / "low_rank.json", ranks)
    code, _, err = odllm("export", model, "--dataset", dataset, "--out", tmp_path / "bundle")
    assert code == 2
    assert "low_rank.json gives model.layers.0.self_attn.q_proj rank" in err
    assert not (tmp_path / "bundle").exists()


def test_export_refuses_a_code_outside_its_level(odllm, model, dataset, tmp_path):
    codes = read_json(dataset / "codes.json")
    codes["codes"]["i3"][1] = 4
    write_json(dataset / "codes.json", codes)
    code, _, err = odllm("export", model, "--dataset", dataset, "--out", tmp_path / "bundle")
    assert code == 2
    assert "code 4 at level 1" in err
    assert not (tmp_path / "bundle").exists()


def test_export_refuses_a_catalogue_of_another_depth(odllm, model, make_dataset, tmp_path):
    save_dataset(make_dataset(sizes=(4, 4)), tmp_path / "shallow")
    code, _, err = odllm("export", model, "--dataset", tmp_path / "shallow", "--out", tmp_path / "bundle")
    assert code == 2
    assert "have 2 levels, those of" in err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("golden_by", ["nobody", "model"])
def test_export_refuses_golden_lists_that_nobody_can_compute(odllm, model, dataset, tmp_path, golden_by):
    arguments = ("--out", tmp_path / "bundle", "--precision", "int8-dynamic", "--golden-by", golden_by)
    code, _, err = odllm("export", model, "--dataset", dataset, *arguments)
    assert code == 2
    assert "golden" in err
    assert not (tmp_path / "bundle").exists()


LIMITED = """
import resource, sys
resource.setrlimit(resource.{limit}, ({bytes}, {bytes}))
sys.argv = {arguments!r}
from odllm.__main__ import main
main()
"""


@pytest.mark.parametrize("kilobytes", [1, 30, 64, 100])
def test_a_full_disk_is_said_and_leaves_nothing(make_model_folder, dataset, tmp_path, kilobytes):
    """A limit on the size of files stands for the full disk: the graph or the weights do not fit."""
    model, _ = make_model_folder(name="wide", hidden_size=64)
    before = sorted(path.name for path in tmp_path.iterdir())
    arguments = ["odllm", "export", str(model), "--dataset", str(dataset), "--out", str(tmp_path / "bundle")]
    code = LIMITED.format(limit="RLIMIT_FSIZE", bytes=kilobytes << 10, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_too_little_memory_is_said(odllm, model, dataset, tmp_path, monkeypatch):
    def allocate(*_, **__):
        raise MemoryError("Unable to allocate 4.00 GiB for an array")

    monkeypatch.setattr("odllm_export.export.build_recommender", allocate)
    code, _, err = odllm("export", model, "--dataset", dataset, "--out", tmp_path / "bundle")
    assert code == 2
    assert "the memory is not enough: Unable to allocate 4.00 GiB" in err.replace("\n", " ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "model"]


def fit_hash(folder, name):
    manifest = read_json(folder / bundle.MANIFEST)
    path = folder / name
    manifest["files"][name] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    write_json(folder / bundle.MANIFEST, manifest)


def newer_opset(folder):
    graph = onnx.load(folder / bundle.GRAPH, load_external_data=False)
    graph.opset_import[0].version = 999
    onnx.save(graph, folder / bundle.GRAPH)
    fit_hash(folder, bundle.GRAPH)


def another_graph(folder):
    """A graph of another interface, as of another version of the exporter."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Neg", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value], [other])
    opset = [onnx.helper.make_opsetid("", 21)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), folder / bundle.GRAPH)
    fit_hash(folder, bundle.GRAPH)


def manifest_with(**changes):
    def change(folder):
        write_json(folder / bundle.MANIFEST, read_json(folder / bundle.MANIFEST) | changes)

    return change


def another_window(folder):
    manifest = read_json(folder / bundle.MANIFEST)
    manifest["prompt"]["max_items"] += 1
    write_json(folder / bundle.MANIFEST, manifest)


def weights_not_numbers(folder):
    np.full((folder / bundle.WEIGHTS).stat().st_size // 4, np.nan, np.float32).tofile(folder / bundle.WEIGHTS)
    fit_hash(folder, bundle.WEIGHTS)


def deeper_catalogue(folder):
    from lcrec.catalog import build_catalog, read_catalog, write_catalog

    old = read_catalog(folder / bundle.CATALOG)
    ids = [item["id"] for item in bundle.read_items(folder)]
    codes = np.concatenate([old.codes, old.codes[:, :1]], axis=1)
    write_catalog(build_catalog(codes, (*old.code_sizes, 4), ids), folder / bundle.CATALOG)
    fit_hash(folder, bundle.CATALOG)


BAD_BUNDLES = [
    (newer_opset, "cannot open"),
    (another_graph, "other inputs or outputs"),
    (manifest_with(schema_version=99), "schema version 99"),
    (manifest_with(expected_peak_memory_bytes=1 << 60), "MiB are free"),
    (another_window, "made for another prompt"),
    (weights_not_numbers, "no numbers"),
    (deeper_catalogue, "code sizes (4, 4, 4, 4), the model (4, 4, 4)"),
    (lambda folder: (folder / bundle.WEIGHTS).unlink(), f"lacks {bundle.WEIGHTS}"),
    (lambda folder: (folder / bundle.MANIFEST).unlink(), "is not a bundle"),
]


@pytest.mark.parametrize(("change", "message"), BAD_BUNDLES, ids=[message for _, message in BAD_BUNDLES])
def test_every_verb_that_opens_a_bundle_refuses_a_bad_one(odllm, exported, model, change, message):
    change(exported)
    before = sha256_folder(exported)
    for arguments in (
        ("recommend", exported, "--history", "i1"),
        ("verify", exported, "--self-test"),
        ("verify", exported, "--model", model, "--histories", 1),
        ("catalog", "block", exported, "i1"),
    ):
        code, out, err = odllm(*arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err.replace("\n", " "), arguments
    assert sha256_folder(exported) == before


def test_a_graph_without_its_data_file_beside_it_is_refused(odllm, exported, tmp_path):
    """Only the graph was moved, by a user who takes it for the whole model."""
    (tmp_path / "elsewhere").mkdir()
    for name in (bundle.GRAPH, bundle.MANIFEST):
        shutil.copy(exported / name, tmp_path / "elsewhere" / name)
    code, _, err = odllm("recommend", tmp_path / "elsewhere", "--history", "i1")
    assert code == 2
    assert "lacks" in err


def test_the_self_test_needs_no_model_and_no_torch(exported):
    code = (
        f"import sys; sys.argv = ['odllm', 'verify', {str(exported)!r}, '--self-test', '--json']\n"
        "from odllm.__main__ import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'transformers', 'onnx', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result, _, loaded = done.stdout.strip().rpartition("\n")
    assert json.loads(result) == {"golden_lists": 2}
    assert loaded == "[]"


def test_the_self_test_ends_with_three_on_other_weights(odllm, exported):
    weights = np.fromfile(exported / bundle.WEIGHTS, np.float32)
    (weights * np.float32(1.1)).tofile(exported / bundle.WEIGHTS)
    fit_hash(exported, bundle.WEIGHTS)
    code, _, err = odllm("verify", exported, "--self-test")
    assert code == 3
    assert "does not give its golden lists" in err


def test_a_bundle_without_golden_lists_works_but_cannot_test_itself(odllm, model, dataset, tmp_path):
    out = tmp_path / "bundle"
    assert odllm("export", model, "--dataset", dataset, "--out", out, "--golden-by", "none")[0] == 0
    assert odllm("recommend", out, "--history", "i1")[0] == 0
    code, _, err = odllm("verify", out, "--self-test")
    assert code == 2
    assert "has no golden.json" in err


def test_verify_wants_a_model_or_the_self_test(odllm, exported, model):
    assert odllm("verify", exported)[0] == 2
    assert odllm("verify", exported, "--self-test", "--model", model)[0] == 2
