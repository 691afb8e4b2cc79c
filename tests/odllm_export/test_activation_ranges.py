"""Precisions with fixed ranges: where the ranges come from, and what is left of the scores."""

import numpy as np
import onnx
import pytest
from random_models import factor

from odllm_export import bundle
from odllm_export.calibration import collect_ranges, training_histories
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender


@pytest.fixture
def export_steps(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder(change=factor(keep_every=2), initializer_range=0.1)

    def export(precision, **options):
        out = tmp_path / precision
        how = ExportOptions(60, 5, form="steps", precision=precision, golden=1, chunk=4, **options)
        export_bundle(folder, make_dataset(), out, how, overwrite=True)
        return out

    return export


def scores_by_row(out, history):
    rows, scores = Recommender.open(out).recommend_rows(np.array(history))
    return scores[np.argsort(rows)]


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize(("precision", "gap", "correlation"), [("int8-qdq", 0.1, 0.99), ("int8-qdq16", 0.05, 0.999)])
def test_scores_stay_near_the_exact_ones(export_steps, precision, gap, correlation, scoring):
    exact = scores_by_row(export_steps("fp32", scoring=scoring), [4, 5, 6])
    rounded = scores_by_row(export_steps(precision, scoring=scoring), [4, 5, 6])
    assert np.abs(exact - rounded).mean() < gap
    assert np.corrcoef(exact, rounded)[0, 1] > correlation


@pytest.mark.parametrize(("precision", "bits"), [("int8-qdq", 8), ("int8-qdq16", 16)])
def test_every_product_with_weights_stands_between_pairs(export_steps, precision, bits):
    out = export_steps(precision)
    for name in (bundle.PREFILL, bundle.STEP):
        graph = onnx.load(out / name, load_external_data=False).graph
        made_by = {output: node for node in graph.node for output in node.output}
        stored = {tensor.name: tensor for tensor in graph.initializer}
        users = {name: node for node in graph.node for name in node.input}
        products = [n for n in graph.node if n.op_type == "MatMul" and n.input[1] in made_by]
        weighted = [n for n in products if made_by[n.input[1]].op_type == "DequantizeLinear"]
        assert len(weighted) == 2 * 7 + 7 + 1  # layers × projections, every other one factored, and the head
        assert not [n for n in graph.node if n.op_type in ("MatMul", "Gemm") and n.input[1] in stored]
        types = set()
        for node in weighted:
            assert stored[made_by[node.input[1]].input[0]].data_type == onnx.TensorProto.INT8
            assert made_by[node.input[0]].op_type == "DequantizeLinear"
            assert users[node.output[0]].op_type == "QuantizeLinear"
            types.add(stored[users[node.output[0]].input[2]].data_type)
        assert types == {onnx.TensorProto.UINT16, onnx.TensorProto.UINT8 if bits == 8 else onnx.TensorProto.UINT16}


def test_ranges_grow_with_the_histories_and_hold_zero(export_steps, monkeypatch):
    found = []

    def remember(*args):
        found.append(collect_ranges(*args))
        return found[-1]

    monkeypatch.setattr("odllm_export.export_steps.collect_ranges", remember)
    for count in (1, 12):
        export_steps("int8-qdq", calibration=count)
    few, many = found
    assert few.keys() == many.keys()
    for name in few:
        for one, all_of_them in zip(few[name], many[name], strict=True):
            assert all_of_them.low <= one.low <= 0 <= one.high <= all_of_them.high
    assert few != many


def test_calibration_sees_only_the_training_part(make_dataset):
    dataset = make_dataset()
    training = {tuple(history) for history in dataset.split().train}
    histories = training_histories(dataset, 5)
    assert len(histories) == 5
    assert all(tuple(history) in training for history in histories)
    assert len(training_histories(dataset, 1000)) == len(dataset.users)
