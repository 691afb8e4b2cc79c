"""What is larger than the memory is exported all the same: a block at a time, with or without golden lists."""

import pytest
import torch
from random_models import factor

from lcrec.dataset import save_dataset
from mobile_bench.baselines.large_model import large_shape, measure_export, write_large_model
from mobile_bench.baselines.workload import make_dataset
from odllm_artifact import read_json
from odllm_export import bundle, golden_choice, oracle
from odllm_export.errors import ExportError, TensorError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.golden_check import golden_difference, read_golden
from odllm_export.runtime import Recommender
from odllm_export.streamed_model import streamed_model
from odllm_export.tensors import parameter_count
from odllm_export.verify import random_cases, require_verified, verify_bundle


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(oracle, "LARGE_BYTES", 0)
    monkeypatch.setattr(golden_choice, "LARGE_BYTES", 0)


@pytest.mark.parametrize(
    "options", [{}, {"change": factor()}, {"tie_word_embeddings": False}], ids=["tied", "factored", "untied"]
)
def test_a_model_that_runs_a_block_at_a_time_computes_the_same(make_model_folder, options):
    from compression.checkpoint import load_model

    folder, _ = make_model_folder(**options)
    ids = torch.randint(0, 20, (2, 9))
    with torch.inference_mode(), streamed_model(folder) as model:
        found = model(input_ids=ids).logits
        assert {parameter.device.type for parameter in model.model.layers.parameters()} == {"meta"}
        torch.testing.assert_close(found, load_model(folder)(input_ids=ids).logits, rtol=1e-5, atol=1e-5)
        assert torch.equal(found, model(input_ids=ids).logits)


def test_a_block_that_lacks_a_tensor_is_words(make_model_folder):
    folder, _ = make_model_folder()
    (folder / "low_rank.json").write_text('{"schema_version": 1, "ranks": {"model.layers.1.mlp.up_proj": 4}}')
    with torch.inference_mode(), streamed_model(folder) as model, pytest.raises(TensorError, match=r"layers\.1\.mlp"):
        model(input_ids=torch.zeros(1, 3, dtype=torch.long))


@pytest.mark.usefixtures("everything_is_large")
def test_golden_lists_and_verification_of_a_large_model_are_the_models_own(
    make_model_folder, make_dataset, tmp_path, monkeypatch
):
    folder, _ = make_model_folder(change=factor())
    export_bundle(folder, make_dataset(), tmp_path / "large")
    require_verified(verify_bundle(one := Recommender.open(tmp_path / "large"), folder, random_cases(one, 4)))
    monkeypatch.setattr(oracle, "LARGE_BYTES", 1 << 40)
    export_bundle(folder, make_dataset(), tmp_path / "small")
    with Recommender.open(tmp_path / "small") as recommender:
        for name in ("large", "small"):
            assert golden_difference(recommender, read_golden(tmp_path / name)) is None
    assert read_json(tmp_path / "large" / bundle.GOLDEN)["computed_by"] == "model"


@pytest.mark.usefixtures("everything_is_large")
def test_a_large_rounded_bundle_has_golden_lists_only_if_asked(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    export_bundle(folder, make_dataset(), tmp_path / "without", ExportOptions(precision="int8-dynamic"))
    assert not (tmp_path / "without" / bundle.GOLDEN).exists()
    assert Recommender.open(tmp_path / "without").recommend(["i1"])
    options = ExportOptions(precision="int8-dynamic", golden_by="graph")
    export_bundle(folder, make_dataset(), tmp_path / "with", options)
    assert read_json(tmp_path / "with" / bundle.GOLDEN)["computed_by"] == "graph"


def test_a_rounded_bundle_is_not_opened_where_the_memory_is_not_there(
    make_model_folder, make_dataset, tmp_path, monkeypatch
):
    class Little:
        available = 1000

    monkeypatch.setattr(golden_choice.psutil, "virtual_memory", Little)
    folder, _ = make_model_folder()
    export_bundle(folder, make_dataset(), tmp_path / "bundle", ExportOptions(precision="int4-block32"))
    assert not (tmp_path / "bundle" / bundle.GOLDEN).exists()


def test_golden_lists_of_the_graph_can_be_asked_for_at_full_precision(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    export_bundle(folder, make_dataset(), tmp_path / "bundle", ExportOptions(golden_by="graph"))
    golden = read_json(tmp_path / "bundle" / bundle.GOLDEN)
    assert (golden["computed_by"], golden["min_overlap"]) == ("graph", 1.0)


@pytest.mark.parametrize("by", ["nobody", "model"])
def test_golden_lists_that_nobody_can_compute_are_refused(make_model_folder, make_dataset, tmp_path, by):
    folder, _ = make_model_folder()
    options = ExportOptions(precision="int8-dynamic", golden_by=by)
    with pytest.raises(ExportError, match="golden"):
        export_bundle(folder, make_dataset(), tmp_path / "bundle", options)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic", "int4-block32"])
def test_an_export_never_holds_the_model(tmp_path, precision):
    """650 million parameters: 2.4 GiB in float32, of which less than half may be in memory, libraries included."""
    shape = large_shape(hidden=2048, layers=24, heads=16, kv_heads=16, intermediate=5504, words=8000)
    write_large_model(shape, 0.5, tmp_path / "model", dtype=torch.bfloat16)
    save_dataset(make_dataset(shape, 4), tmp_path / "dataset")
    options = ("--precision", precision, "--golden", "1", "--scoring", "vocab")
    if precision != "fp32":
        options += ("--golden-by", "none")  # the graph would map the whole of its weights
    found = measure_export(tmp_path / "model", tmp_path / "dataset", tmp_path / "bundle", *options)
    whole = 4 * parameter_count(tmp_path / "model")
    assert whole > 2.3 * 2**30
    assert found.golden == ("model" if precision == "fp32" else "none")
    assert found.peak_anonymous_bytes < 0.5 * whole
    assert found.peak_bytes < 0.55 * whole
