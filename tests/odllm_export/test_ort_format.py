"""`--ort-format`: the same lists from ONNX Runtime's own format, and the operators of a custom build."""

import pytest

from odllm_artifact import read_json
from odllm_export import bundle, ort_format
from odllm_export.engine import Options
from odllm_export.errors import BundleError, ExportError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender


@pytest.fixture
def export(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()

    def make(name="bundle", **options):
        export_bundle(folder, make_dataset(), tmp_path / name, ExportOptions(num_beams=12, **options))
        return tmp_path / name

    return make


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic", "int4-block32"])
def test_both_formats_answer_with_the_same_lists(export, precision):
    folder = export(precision=precision, ort_format=True)
    assert "ORT_ENABLE_EXTENDED" in bundle.read_manifest(folder).provenance["ort_format"]
    with Recommender.open(folder) as onnx, Recommender.open(folder, Options(ort_format=True)) as ort:
        for case in read_json(folder / bundle.GOLDEN)["cases"]:
            rows = onnx.rows_of(case["history"])
            (one, one_scores), (other, other_scores) = onnx.recommend_rows(rows), ort.recommend_rows(rows)
            assert one.tolist() == other.tolist()
            assert one_scores == pytest.approx(other_scores, abs=1e-5)


def test_the_configuration_names_operators_and_types_and_no_path(export, tmp_path):
    folder = export(ort_format=True)
    config = (folder / bundle.REQUIRED_OPERATORS).read_text()
    assert f"# Operators and types of {bundle.ORT_GRAPH}\n" in config
    assert "Attention" in config
    assert 'MatMul{"inputs": {"0": ["float"]}}' in config
    assert str(tmp_path) not in config


def test_the_configuration_is_the_same_for_the_same_model(export):
    # recommend.ort itself is not: onnxruntime writes it in the order of a hash table.
    one, other = ((export(name, ort_format=True) / bundle.REQUIRED_OPERATORS).read_bytes() for name in ("a", "b"))
    assert one == other


def test_a_bundle_without_it_says_how_to_get_it(export):
    with pytest.raises(BundleError, match="--ort-format"):
        Recommender.open(export(), Options(ort_format=True))


def test_weights_that_are_too_large_for_it_are_an_error(export, tmp_path, monkeypatch):
    monkeypatch.setattr(ort_format, "_LARGEST_BYTES", 1000)
    with pytest.raises(ExportError, match="ends at 2 GB"):
        export(ort_format=True)
    assert not (tmp_path / "bundle").exists()
