"""The forms of the graph through the program: export, verify, recommend."""

import json

import pytest


@pytest.mark.parametrize("form", ["unrolled", "steps"])
def test_a_form_is_exported_verified_and_asked(odllm, demo_run, tmp_path, form):
    model, dataset, out = demo_run / "models" / "compressed", demo_run / "dataset", tmp_path / form
    code, _, err = odllm("export", model, "--dataset", dataset, "--out", out, "--form", form, "--chunk", 8, "--json")
    assert code == 0, err
    code, answer, err = odllm("verify", out, "--model", model, "--dataset", dataset, "--histories", 10, "--json")
    assert code == 0, err
    assert json.loads(answer)["identical_lists"] == 10
    code, answer, err = odllm("recommend", out, "--history", "1,2", "--json")
    assert code == 0, err
    assert len(json.loads(answer)["items"]) == 10


def test_fixed_ranges_are_verified_by_their_overlap(odllm, demo_run, tmp_path):
    model, dataset, out = demo_run / "models" / "dense", demo_run / "dataset", tmp_path / "bundle"
    how = ("--form", "steps", "--precision", "int8-qdq16", "--calibration", 8)
    code, _, err = odllm("export", model, "--dataset", dataset, "--out", out, *how)
    assert code == 0, err
    code, answer, err = odllm("verify", out, "--model", model, "--dataset", dataset, "--histories", 10, "--json")
    assert code == 0, err
    assert json.loads(answer)["mean_overlap"] > 0.8


def test_the_decoder_form_needs_no_dataset_and_a_bundle_does(odllm, demo_run, tmp_path):
    model, out = demo_run / "models" / "compressed", tmp_path / "decoder"
    code, answer, err = odllm("export", model, "--out", out, "--form", "decoder", "--json")
    assert code == 0, err
    assert json.loads(answer)["form"] == "decoder"
    assert (out / "model.onnx").is_file()
    code, _, err = odllm("export", model, "--out", tmp_path / "bundle")
    assert code == 2
    assert "--dataset is missing" in " ".join(err.split())


def test_an_unknown_form_is_named(odllm, demo_run, tmp_path):
    where = ("--dataset", demo_run / "dataset", "--out", tmp_path / "bundle")
    code, _, err = odllm("export", demo_run / "models" / "dense", *where, "--form", "spiral")
    assert code == 2
    assert "'spiral' is not one of loop, unrolled, steps" in " ".join(err.split())
