"""The model card as the Hugging Face Hub reads it, and its figures against the manifest."""

import pytest
from huggingface_hub import ModelCard

from odllm_artifact import write_json
from odllm_export import bundle
from odllm_export.export import ExportOptions, export_bundle


@pytest.fixture
def export(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()

    def make(quality=None, **options):
        if quality is not None:
            write_json(folder / "evaluation.json", quality)
        export_bundle(folder, make_dataset(), tmp_path / "bundle", ExportOptions(num_beams=12, **options))
        card = ModelCard.load(tmp_path / "bundle" / bundle.MODEL_CARD)
        return card, bundle.read_manifest(tmp_path / "bundle")

    return make


def test_the_front_matter_says_what_it_is(export):
    card, manifest = export(precision="int8-dynamic")
    facts = card.data.to_dict()
    assert facts["library_name"] == "onnxruntime"
    assert facts["datasets"] == ["toy"]
    assert {"recommendation", "onnx", "int8-dynamic", "dense"} <= set(facts["tags"])
    assert not {"language", "license", "base_model", "metrics", "model-index"} & facts.keys()
    assert card.data.model_name is None or card.data.model_name == manifest.name


def test_measured_quality_becomes_the_model_index(export):
    quality = {"hit_rate@10": 0.125, "ndcg@10": 0.0625, "mean_rank": 3.0, "users": 12, "split": "test"}
    card, manifest = export(quality=quality)
    assert card.data.model_name == manifest.name
    results = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert results == {"hit_rate@10": 0.125, "ndcg@10": 0.0625}
    assert {one.dataset_name for one in card.data.eval_results} == {"toy"}
    assert card.data.metrics == ["hit_rate", "ndcg"]
    assert "ndcg@10: 0.0625" in card.text


def test_the_figures_are_the_manifests(export):
    card, manifest = export(scoring="vocab", ort_format=True)
    assert f"{manifest.search.num_beams} beams" in card.text
    assert "the whole vocabulary" in card.text
    assert f"form | {manifest.graph.form}, ONNX opset {manifest.graph.opset}" in card.text
    assert f"first {manifest.graph.prefix_tokens} tokens are stored" in card.text
    assert f"about {manifest.expected_peak_memory_bytes / 2**20:.0f} MiB" in card.text
    for name in (bundle.GRAPH, bundle.WEIGHTS, bundle.ORT_GRAPH):
        fact = manifest.files[name]
        assert f"| {name} | {fact.bytes:,} | `{fact.sha256}` |" in card.text
