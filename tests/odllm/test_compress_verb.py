"""`odllm compress`: plans made, written, edited, fed back and refused."""

import json
from types import SimpleNamespace

import pytest

from lcrec.dataset import save_dataset
from odllm_artifact import read_json, sha256_folder, write_json

UP = "model.layers.0.mlp.up_proj"


@pytest.fixture
def model(make_model_folder):
    return make_model_folder()[0]


@pytest.fixture
def dataset(make_dataset, tmp_path):
    save_dataset(make_dataset(), tmp_path / "dataset")
    return tmp_path / "dataset"


@pytest.fixture
def dry_run(odllm, model, dataset):
    def call(*options):
        code, out, err = odllm("compress", model, "--dataset", dataset, "--dry-run", "--json", *options)
        assert code == 0, err
        return json.loads(out)

    return call


def without_values(model):
    """Keep the files' headers and lose their values: what reads a weight fails."""
    path = model / "model.safetensors"
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(content[:header] + b"\xff" * (len(content) - header))  # NaN everywhere


def test_a_dry_run_prints_the_plan_and_writes_nothing(odllm, model, dataset, tmp_path):
    before = sha256_folder(tmp_path)
    options = ("--preset", "whitened", "--precision", "int8-dynamic")
    code, out, _ = odllm("compress", model, "--dataset", dataset, "--dry-run", *options)
    assert code == 0
    for words in ("uniform", "gate", "weights at int8-dynamic", "memory at the peak", "less than a minute"):
        assert words in out
    assert sha256_folder(tmp_path) == before


def test_a_dry_run_of_the_uniform_rule_looks_at_no_weight(dry_run, model):
    expected = dry_run("--allocation", "uniform")
    without_values(model)
    assert dry_run("--allocation", "uniform") == expected
    assert expected["parameters_after"] < expected["parameters_before"]
    assert expected["memory"]["peak"] > expected["memory"]["statistics"] > 0


@pytest.mark.parametrize("allocation", ["energy", "sensitivity", "importance"])
def test_measured_allocations_give_other_ranks_within_the_budget(dry_run, allocation):
    uniform, found = dry_run("--allocation", "uniform"), dry_run("--allocation", allocation)
    assert found["plan"]["allocation"]["method"] == allocation
    assert found["plan"]["allocation"]["tokens"] > 0
    assert (found["plan"]["allocation"]["probe_tokens"] > 0) == (allocation == "sensitivity")
    assert found["plan"]["ranks"] != uniform["plan"]["ranks"]
    assert 0.45 < found["keep_ratio"] <= 0.5


def test_a_budget_of_bytes_is_kept(dry_run):
    found = dry_run("--budget", "bytes", "--precision", "int8-dynamic", "--keep-ratio", 0.8)
    budget = found["plan"]["budget"]
    assert 0.6 < budget["plan_cost"] / budget["dense_cost"] <= 0.8
    assert budget["precision"] == "int8-dynamic"


def test_a_budget_of_time_measures_once(dry_run, tmp_path):
    costs = tmp_path / "costs.json"
    options = ("--budget", "latency", "--keep-ratio", 1.0, "--costs", costs)
    first = dry_run(*options)
    written = costs.read_text()
    assert dry_run(*options)["plan"]["budget"] == first["plan"]["budget"]
    assert costs.read_text() == written


def test_a_plan_written_and_edited_is_what_the_model_gets(odllm, model, dataset, dry_run, tmp_path):
    plan, out = tmp_path / "plan.json", tmp_path / "small"
    dry_run("--write-plan", plan, "--rank-multiple", 4, "--preset", "whitened")
    content = read_json(plan)
    assert all(rank == "dense" or rank % 4 == 0 for rank in content["ranks"].values())
    content["ranks"] |= {UP: "dense", "model.layers.1.mlp.up_proj": 5}
    write_json(plan, content)
    code, _, err = odllm("compress", model, "--dataset", dataset, "--out", out, "--plan", plan)
    assert code == 0, err
    ranks = read_json(out / "low_rank.json")["ranks"]
    assert UP not in ranks
    assert ranks["model.layers.1.mlp.up_proj"] == 5
    assert read_json(out / "plan.json") == content


def test_a_run_that_goes_on_uses_the_ranks_it_measured(odllm, model, dataset, tmp_path, monkeypatch):
    """Times differ from run to run; finished blocks count only under the same ranks."""
    from odllm import compressing

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    out = tmp_path / "small"
    options = ("compress", model, "--dataset", dataset, "--out", out, "--budget", "latency", "--keep-ratio", 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(compressing, "compress_checkpoint", killed)
        assert odllm(*options)[0] != 0
    measured = read_json(tmp_path / "small.partial" / "plan.json")["plan"]
    assert odllm(*options)[0] == 0
    assert read_json(out / "plan.json") == measured
    assert not (tmp_path / "small.partial").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep-ratio", 0.01), "cannot be met"),
        (("--keep-ratio", 0.01, "--allocation", "energy"), "cannot be met"),
        (("--keep-ratio", 0.05, "--budget", "bytes", "--precision", "int4-block128"), "of the bytes cannot be met"),
        (("--budget", "money"), "budget is 'money'; expected one of parameters, bytes, latency"),
        (("--allocation", "fair"), "allocation is 'fair'; expected one of uniform, energy, sensitivity, importance"),
        (("--precision", "int5"), "precision 'int5' is not one of"),
        (("--costs", "costs.json"), "the budget is parameters. Say --budget latency"),
        (("--plan", "nowhere.json"), "cannot read nowhere.json"),
    ],
)
def test_bad_requests_end_before_any_work(odllm, model, dataset, tmp_path, options, message):
    without_values(model)
    before = sorted(path.name for path in tmp_path.iterdir())
    code, out, err = odllm("compress", model, "--dataset", dataset, "--out", tmp_path / "small", *options)
    assert (code, out) == (2, "")
    assert message in err.replace("\n", " ")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_plan_for_another_model_is_refused(odllm, model, dataset, dry_run, make_model_folder, tmp_path):
    plan = tmp_path / "plan.json"
    dry_run("--write-plan", plan)
    other, _ = make_model_folder("other", intermediate_size=64)
    code, _, err = odllm("compress", other, "--dataset", dataset, "--out", tmp_path / "small", "--plan", plan)
    assert code == 2
    assert "the plan is for another model" in err
    assert not (tmp_path / "small.partial").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [((), "--out is missing"), (("--dry-run", "--plan", "p", "--keep-ratio", 0.4), "leave out --keep-ratio")],
)
def test_contradictory_options_are_usage_errors(odllm, model, dataset, options, message):
    code, _, err = odllm("compress", model, "--dataset", dataset, *options)
    assert code == 2
    assert message in err


def test_a_missing_shard_ends_a_dry_run(odllm, model, dataset):
    (model / "model.safetensors").rename(model / "weights.safetensors")
    code, _, err = odllm("compress", model, "--dataset", dataset, "--dry-run")
    assert code == 2
    assert "holds neither model.safetensors" in err


def test_gradients_that_do_not_fit_are_refused_before_any_work_with_the_way_out(
    odllm, model, dataset, tmp_path, monkeypatch
):
    without_values(model)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    code, _, err = odllm("compress", model, "--dataset", dataset, "--out", tmp_path / "small")
    assert code == 2
    assert "0.0 GiB are free. Choose --preset without-gradients" in " ".join(err.split())
    assert not (tmp_path / "small").exists()
