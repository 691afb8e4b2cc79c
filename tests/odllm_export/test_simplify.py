"""`--simplify`: onnxsim, and the same lists afterwards or nothing."""

import sys

import numpy as np
import onnx
import pytest
from onnx import helper

from odllm_artifact import read_json
from odllm_export import bundle, simplify
from odllm_export.errors import ExportError
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
def test_fewer_nodes_the_same_lists_and_the_same_weights(export, precision):
    pytest.importorskip("onnxsim")
    plain, simple = export("plain", precision=precision), export("simple", precision=precision, simplify=True)
    assert (plain / bundle.WEIGHTS).read_bytes() == (simple / bundle.WEIGHTS).read_bytes()
    manifest = bundle.read_manifest(simple)
    assert "nodes became" in manifest.provenance["onnxsim"]
    before, after = (onnx.load(path / bundle.GRAPH, load_external_data=False) for path in (plain, simple))
    assert len(after.graph.node) < len(before.graph.node)
    assert [value.name for value in after.graph.input] == [value.name for value in before.graph.input]
    with Recommender.open(plain) as one, Recommender.open(simple) as other:
        for case in read_json(simple / bundle.GOLDEN)["cases"]:
            assert other.recommend(case["history"]) == one.recommend(case["history"])


def test_other_lists_are_an_error_and_nothing_is_written(export, tmp_path, monkeypatch):
    pytest.importorskip("onnxsim")

    def double_the_scores(model):
        (scores,) = (node for node in model.graph.node if "scores" in node.output)
        scores.output[0] = "half"
        model.graph.node.append(helper.make_node("Add", ["half", "half"], ["scores"]))
        return model

    monkeypatch.setattr(simplify, "simplify_graph", double_the_scores)
    with pytest.raises(ExportError, match=r"scores for history 0 are off by .* nothing was written"):
        export(simplify=True)
    assert not (tmp_path / "bundle").exists()


def test_other_items_are_told_from_other_scores():
    rows, scores = np.array([4, 7]), np.array([-1.0, -2.0], np.float32)
    simplify.require_same_lists([(rows, scores)], [(rows, scores + np.float32(1e-5))])
    with pytest.raises(ExportError, match=r"item rows \[7, 4\]"):
        simplify.require_same_lists([(rows, scores)], [(rows[::-1], scores)])
    with pytest.raises(ExportError, match="off by nan"):
        simplify.require_same_lists([(rows, scores)], [(rows, np.array([-1.0, np.nan], np.float32))])


def test_without_onnxsim_it_says_what_to_install(export, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxsim", None)
    with pytest.raises(ExportError, match=r"odllm\[simplify\]"):
        export(simplify=True)
    assert not (tmp_path / "bundle").exists()


def test_a_graph_that_onnxsim_cannot_treat_is_told():
    pytest.importorskip("onnxsim")
    unsorted = '<ir_version: 10, opset_import: ["" : 23]> g (float[2] x) => (float[2] y) { y = Add (x, z) }'
    with pytest.raises(ExportError, match="onnxsim cannot treat this graph"):
        simplify.simplify_graph(onnx.parser.parse_model(unsorted))
