"""`odllm baseline` and the options of `odllm train` that make a rival of equal size."""

import json
import sys

import pytest
from random_models import factor

from compression.checkpoint import load_model
from lcrec.dataset import save_dataset
from lcrec.prompt import read_card
from odllm_artifact import read_json


@pytest.fixture
def model(make_model_folder):
    return make_model_folder()[0]


@pytest.fixture
def dataset(make_dataset, tmp_path):
    save_dataset(make_dataset(users=40), tmp_path / "dataset")
    return tmp_path / "dataset"


def test_sasrec_is_trained_measured_and_read_by_evaluate(odllm, dataset, tmp_path):
    out = tmp_path / "sasrec"
    code, text, _ = odllm("baseline", "sasrec", dataset, "--out", out, "--epochs", 2, "--json")
    assert code == 0
    record = json.loads(text)
    assert record == read_json(out / "baseline.json")
    code, text, _ = odllm("evaluate", out, "--dataset", dataset, "--json")
    assert code == 0
    assert json.loads(text)["sasrec"]["ndcg@10"] == pytest.approx(record["test"]["ndcg@10"])
    code, text, _ = odllm("evaluate", out, "--dataset", dataset, "--no-seen", "--json")
    assert code == 0
    assert json.loads(text)["sasrec"]["ndcg@10"] == pytest.approx(record["test_without_seen"]["ndcg@10"])


def test_a_rounded_model_is_a_recommender_and_says_its_bytes(odllm, model, dataset, tmp_path):
    out = tmp_path / "rounded"
    code, text, _ = odllm("baseline", "round", model, "--precision", "int3-block32", "--out", out, "--json")
    assert code == 0
    record = json.loads(text)
    assert record["bytes"] < record["bytes_fp32"] / 4
    assert odllm("evaluate", out, "--dataset", dataset, "--json")[0] == 0
    assert read_card(out) == read_card(model)


def test_an_unknown_precision_is_named(odllm, model, tmp_path):
    code, _, error = odllm("baseline", "round", model, "--precision", "int1", "--out", tmp_path / "out")
    assert code == 2
    assert "int3-block32" in error
    assert not (tmp_path / "out").exists()


def test_without_its_environment_gptq_says_how_to_make_it(odllm, model, dataset, tmp_path):
    python = tmp_path / "none"
    code, _, error = odllm(
        "baseline", "gptq", model, "--dataset", dataset, "--out", tmp_path / "out", "--python", python
    )
    assert code == 2
    assert "make baselines" in error


def test_a_factored_model_is_not_pruned(odllm, make_model_folder, dataset, tmp_path):
    folder, _ = make_model_folder(change=factor())
    arguments = ("--dataset", dataset, "--out", tmp_path / "out", "--python", sys.executable)
    code, _, error = odllm("baseline", "sparsegpt", folder, *arguments)
    assert code == 2
    assert "low-rank" in error


def test_a_group_that_does_not_divide_is_refused_before_any_work(odllm, model, dataset, tmp_path):
    arguments = ("--dataset", dataset, "--out", tmp_path / "out", "--python", sys.executable)
    code, _, error = odllm("baseline", "gptq", model, *arguments)
    assert code == 2
    assert "groups of 128 do not divide" in error


def test_a_failure_of_the_other_program_is_shown(odllm, model, dataset, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'no library here' >&2\nexit 3\n")
    python.chmod(0o755)
    arguments = ("--dataset", dataset, "--out", tmp_path / "out", "--python", python)
    code, _, error = odllm("baseline", "sparsegpt", model, *arguments)
    assert code == 2
    assert "ended with 3" in error
    assert "no library here" in error
    assert not (tmp_path / "out").exists()


def test_a_model_of_a_wanted_size_is_trained_with_a_teacher(odllm, dataset, tmp_path):
    assert odllm("train", dataset, "--out", tmp_path / "dense", "--epochs", 1)[0] == 0
    arguments = ("--epochs", 1, "--parameters", 200_000, "--teacher", tmp_path / "dense", "--json")
    code, text, _ = odllm("train", dataset, "--out", tmp_path / "half", *arguments)
    assert code == 0
    report = json.loads(text)
    assert report["parameters"] == pytest.approx(200_000, rel=0.02)
    assert report["teacher"]["weight"] == 0.5
    assert load_model(tmp_path / "half").config.hidden_size < load_model(tmp_path / "dense").config.hidden_size
