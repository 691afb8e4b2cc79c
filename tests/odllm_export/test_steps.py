"""Form steps: fixed shapes, plain operators, and the model's own lists around them."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, shape_inference
from random_models import factor

from lcrec.catalog import build_catalog
from lcrec.dataset import ItemCodes
from odllm_export import bundle
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.oracle import model_results
from odllm_export.runtime import Recommender
from odllm_export.verify import random_cases, verify_bundle

PLAIN = {"MatMul", "Gemm", "Add", "Sub", "Mul", "Div", "Sqrt", "ReduceMean", "Sigmoid", "Softmax"}
PLAIN |= {"Transpose", "Reshape", "Concat", "Slice", "Gather", "Unsqueeze", "Identity"}


@pytest.fixture
def make_bundle(make_model_folder, make_dataset, tmp_path):
    """Export a random recommender in form steps; return the bundle, the model and the dataset."""

    def make(sizes=(4, 4, 4), codes=None, prompt=None, model=None, **options):
        folder, _ = make_model_folder(sizes=sizes, prompt=prompt, **(model or {}))
        dataset = make_dataset(sizes=sizes, items=60 if codes is None else len(codes))
        if codes is not None:
            dataset = dataclasses.replace(dataset, codes=ItemCodes(np.array(codes, np.int32), sizes))
        out = tmp_path / "bundle"
        how = {"num_beams": 6, "top_k": 5, "golden": 2, "chunk": 4, "form": "steps"} | options
        export_bundle(folder, dataset, out, ExportOptions(**how), overwrite=True)
        return out, folder, dataset

    return make


def assert_verified(out, folder, histories=12):
    recommender = Recommender.open(out)
    found = verify_bundle(recommender, folder, random_cases(recommender, histories))
    assert found.first_difference is None
    assert found.identical_lists == histories


@pytest.mark.parametrize("sizes", [(5, 7), (4, 3, 2), (2, 3, 4, 5), (1, 4, 1, 4, 2), (2,) * 6], ids=len)
@pytest.mark.parametrize("scoring", ["codes", "vocab"])
def test_lists_are_the_models_at_every_depth(make_bundle, sizes, scoring):
    assert_verified(*make_bundle(sizes=sizes, scoring=scoring)[:2])


@pytest.mark.parametrize(
    "model",
    [
        {"change": factor(keep_every=2), "attention_bias": True, "mlp_bias": True},
        {"change": factor(), "tie_word_embeddings": False, "num_key_value_heads": 1},
        {"num_hidden_layers": 1, "num_key_value_heads": 4, "head_dim": 12},
    ],
    ids=["mixed-biases", "factored-untied", "one-layer"],
)
@pytest.mark.parametrize("scoring", ["codes", "vocab"])
def test_models_of_every_kind(make_bundle, model, scoring):
    assert_verified(*make_bundle(model=model, scoring=scoring)[:2])


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("num_beams", [1, 60])
def test_any_chunk_and_any_number_of_beams(make_bundle, make_prompt, chunk, num_beams):
    prompt = make_prompt(separator=(2, 6), suffix=(3, 4))
    assert_verified(*make_bundle(prompt=prompt, chunk=chunk, num_beams=num_beams, top_k=1)[:2])


def test_everything_blocked_and_items_that_share_a_code(make_bundle):
    codes = [[0, 0, 0]] * 3 + [[0, 1, 2]] * 4 + [[3, 3, 3]]
    out, folder, dataset = make_bundle(codes=codes, num_beams=20)
    assert_verified(out, folder)
    recommender = Recommender.open(out)
    rows, scores = recommender.recommend_rows(np.array([1]), np.arange(len(codes)))
    assert len(rows) == len(scores) == 0
    rows, _ = recommender.recommend_rows(np.array([1]), np.array([4, 4, 0]))
    catalog = build_catalog(dataset.codes.codes, dataset.codes.sizes, dataset.item_ids)
    (expected,) = model_results(folder, recommender.manifest, catalog, [(np.array([1]), np.array([4, 0]))])
    np.testing.assert_array_equal(rows, expected.rows)


def test_a_session_reuses_the_prompts_keys_and_values(make_bundle):
    out, _, _ = make_bundle()
    recommender = Recommender.open(out)
    session, history, reused = recommender.session(), ["i3", "i8"], []
    for item in ("i9", "i10", "i11", "i12", "i13"):
        history = [*history, item]
        kept, fresh = session.recommend(history), recommender.recommend(history)
        assert [one.item_id for one in kept] == [one.item_id for one in fresh]
        np.testing.assert_allclose([one.score for one in kept], [one.score for one in fresh], atol=1e-5)
        reused.append(session.reused_tokens)
    prompt = recommender.manifest.prompt
    assert reused == [0, prompt.reusable(3), prompt.reusable(4), 0, 0]  # then the window slid


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-qdq", "int8-qdq16"])
def test_every_shape_is_fixed(make_bundle, precision):
    out, _, _ = make_bundle(precision=precision, calibration=3)
    fixed = bundle.read_manifest(out).graph.fixed
    for name, tokens in ((bundle.PREFILL, fixed.chunk), (bundle.STEP, 6)):
        onnx.checker.check_model(str(out / name))
        model = onnx.load(out / name)
        for node in model.graph.node:
            node.domain = ""  # where 16 bits have their operators, which onnx itself knows nothing of
        graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        values = {value.name: value for value in (*graph.input, *graph.output, *graph.value_info)}
        for node in graph.node:
            for output in node.output:
                dims = values[output].type.tensor_type.shape.dim
                assert all(dim.HasField("dim_value") for dim in dims), output
                assert len(dims) <= 4
        mask = [dim.dim_value for dim in values["mask"].type.tensor_type.shape.dim]
        assert mask == [1, 1, tokens, fixed.columns + tokens]
        assert {values[n].type.tensor_type.elem_type for n in ("ids", "positions")} == {TensorProto.INT32}


def test_only_plain_operators_of_an_old_opset(make_bundle):
    out, _, _ = make_bundle()
    for name in (bundle.PREFILL, bundle.STEP):
        model = onnx.load(out / name, load_external_data=False)
        assert {node.op_type for node in model.graph.node} <= PLAIN
        assert {entry.domain: entry.version for entry in model.opset_import}[""] == 13


def test_both_graphs_read_one_copy_of_the_weights(make_bundle):
    out, _, _ = make_bundle()

    def stored(name):
        tensors = onnx.load(out / name, load_external_data=False).graph.initializer
        return {t.name: [e.value for e in t.external_data] for t in tensors if t.external_data}

    prefill = stored(bundle.PREFILL)
    assert prefill == stored(bundle.STEP)
    assert {location for location, _, _ in prefill.values()} == {bundle.WEIGHTS}
    sizes = sum(int(length) for _, _, length in prefill.values())
    assert (out / bundle.WEIGHTS).stat().st_size < sizes + 4096 * len(prefill)


def test_the_longest_prompt_fills_the_columns(make_bundle, make_prompt):
    prompt = make_prompt(max_items=5)
    out, _, _ = make_bundle(prompt=prompt)
    assert bundle.read_manifest(out).graph.fixed.columns == prompt.length(5) + 6 * (3 - 2)
