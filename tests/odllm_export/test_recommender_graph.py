"""The graph against the torch oracle: same lists, same scores, on shapes chosen to break it."""

import numpy as np
import onnx
import pytest
import torch
from graph_tools import assert_same_lists, export, run
from random_models import factor

from odllm_export.errors import TensorError
from odllm_export.tensors import ModelTensors


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1, "num_hidden_layers": 1},
        {"attention_bias": True, "mlp_bias": True, "num_hidden_layers": 3},
        {"head_dim": 12, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    ],
    ids=["tied", "untied", "multi-head", "one-layer", "biases", "head-size"],
)
def test_dense_models(make_model_folder, make_catalog, tmp_path, options, scoring):
    folder, prompt = make_model_folder(**options)
    catalog = make_catalog()
    session = export(folder, prompt, tmp_path, levels=3, scoring=scoring)
    assert_same_lists(session, folder, prompt, catalog, scoring=scoring)


@pytest.mark.parametrize("change", [factor(), factor(keep_every=2)], ids=["all", "mixed"])
@pytest.mark.parametrize("bias", [False, True])
def test_factored_models(make_model_folder, make_catalog, tmp_path, change, bias):
    folder, prompt = make_model_folder(change=change, attention_bias=bias, mlp_bias=bias)
    session = export(folder, prompt, tmp_path, levels=3)
    assert_same_lists(session, folder, prompt, make_catalog(), scoring="codes")


@pytest.mark.parametrize("sizes", [(5, 7), (2, 3, 4, 5), (1, 4, 1, 4, 2), (2,) * 6], ids=len)
@pytest.mark.parametrize("scoring", ["codes", "vocab"])
def test_every_depth(make_model_folder, make_catalog, make_prompt, tmp_path, sizes, scoring):
    folder, prompt = make_model_folder(sizes=sizes)
    catalog = make_catalog(items=40, sizes=sizes)
    session = export(folder, prompt, tmp_path, levels=len(sizes), scoring=scoring)
    assert_same_lists(session, folder, prompt, catalog, scoring=scoring)


@pytest.mark.parametrize("num_beams", [1, 3, 100])
def test_fewer_and_more_beams_than_items(make_model_folder, make_catalog, tmp_path, num_beams):
    folder, prompt = make_model_folder()
    session = export(folder, prompt, tmp_path, levels=3, num_beams=num_beams)
    assert_same_lists(session, folder, prompt, make_catalog(), scoring="codes", num_beams=num_beams)


@pytest.mark.parametrize(
    ("separator", "suffix"), [((), ()), ((2,), ()), ((), (3,)), ((2, 6, 7), (3, 2))], ids=["bare", "sep", "suf", "both"]
)
@pytest.mark.parametrize("scoring", ["codes", "vocab"])
def test_prompts_with_and_without_words(
    make_model_folder, make_catalog, make_prompt, tmp_path, separator, suffix, scoring
):
    folder, prompt = make_model_folder(prompt=make_prompt(separator=separator, suffix=suffix))
    session = export(folder, prompt, tmp_path, levels=3, scoring=scoring)
    assert_same_lists(session, folder, prompt, make_catalog(), scoring=scoring)


def test_one_graph_serves_another_catalogue(make_model_folder, make_catalog, tmp_path):
    folder, prompt = make_model_folder()
    session = export(folder, prompt, tmp_path, levels=3)
    for items, seed in ((60, 0), (7, 1), (200, 2), (1, 3)):
        assert_same_lists(session, folder, prompt, make_catalog(items=items, seed=seed), scoring="codes")


def test_a_duplicate_in_blocked_counts_once(make_model_folder, make_catalog, tmp_path):
    folder, prompt = make_model_folder()
    session, catalog = export(folder, prompt, tmp_path, levels=3), make_catalog()
    once, twice = run(session, catalog, [1, 2], [5, 9]), run(session, catalog, [1, 2], [9, 5, 5, 9, 9])
    np.testing.assert_array_equal(once[0], twice[0])


def test_items_blocked_in_the_catalogue_never_come_back(make_model_folder, make_catalog, tmp_path):
    folder, prompt = make_model_folder()
    session, catalog = export(folder, prompt, tmp_path, levels=3, num_beams=60), make_catalog()
    rows, _ = run(session, catalog.block(range(0, 60, 2)), [1, 2], [3, 4])
    assert sorted(rows.tolist()) == [row for row in range(1, 60, 2) if row != 3]


def test_nothing_is_live(make_model_folder, make_catalog, tmp_path):
    folder, prompt = make_model_folder()
    session = export(folder, prompt, tmp_path, levels=3)
    rows, scores = run(session, make_catalog(), [1], range(60))
    assert len(rows) == len(scores) == 0


def test_a_factored_linear_is_two_products_with_a_shared_first_one(make_model_folder, tmp_path):
    folder, prompt = make_model_folder(change=factor())
    export(folder, prompt, tmp_path, levels=3)
    model = onnx.load(tmp_path / "graph.onnx", load_external_data=False)
    (loop,) = [node for node in model.graph.node if node.op_type == "Loop"]
    body = loop.attribute[0].g
    products = [node.input[1] for node in body.node if node.op_type == "MatMul"]
    block = [name for name in products if name.startswith("model.layers.0.")]
    assert block == [
        "model.layers.0.self_attn.q_k_v.input_factor",
        "model.layers.0.self_attn.q_proj.output_factor",
        "model.layers.0.self_attn.k_proj.output_factor",
        "model.layers.0.self_attn.v_proj.output_factor",
        "model.layers.0.self_attn.o.input_factor",
        "model.layers.0.self_attn.o_proj.output_factor",
        "model.layers.0.mlp.gate_up.input_factor",
        "model.layers.0.mlp.gate_proj.output_factor",
        "model.layers.0.mlp.up_proj.output_factor",
        "model.layers.0.mlp.down.input_factor",
        "model.layers.0.mlp.down_proj.output_factor",
    ]


def test_codes_scoring_keeps_only_the_rows_that_can_occur(make_model_folder, tmp_path):
    folder, prompt = make_model_folder()
    export(folder, prompt, tmp_path, levels=3, scoring="codes")
    model = onnx.load(tmp_path / "graph.onnx", load_external_data=False)
    (table,) = [t for t in model.graph.initializer if t.name == "model.embed_tokens.weight"]
    assert list(table.dims) == [12 + 5, 32]  # 12 code tokens; prefix 1, 5, separator 2, suffix 3, 4


def rewrite(folder, change):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), r"no tensor 'model\.layers\.1\.mlp\.up_proj\.weight'"),
        (
            lambda t: t.update({"model.layers.7.extra": torch.ones(2)}),
            r"no place in the graph: model\.layers\.7\.extra",
        ),
        (lambda t: t["model.norm.weight"].fill_(float("nan")), r"'model\.norm\.weight'.*not finite"),
        (lambda t: t.update({"model.norm.weight": torch.ones(31)}), r"shape \[31\], expected \[32\]"),
    ],
    ids=["missing", "left-over", "nan", "shape"],
)
def test_a_tensor_that_does_not_fit_stops_the_export(make_model_folder, tmp_path, change, message):
    folder, prompt = make_model_folder()
    rewrite(folder, change)
    with pytest.raises(TensorError, match=message):
        export(folder, prompt, tmp_path, levels=3)


def test_a_projection_both_dense_and_factored_is_refused(make_model_folder, tmp_path):
    folder, prompt = make_model_folder(change=factor())
    rewrite(folder, lambda t: t.update({"model.layers.0.mlp.down_proj.weight": torch.ones(32, 48)}))
    with pytest.raises(TensorError, match="both dense and factored"):
        export(folder, prompt, tmp_path, levels=3)


def test_missing_weights_are_named(make_model_folder):
    folder, _ = make_model_folder()
    (folder / "model.safetensors").unlink()
    with pytest.raises(TensorError, match=r"no model\.safetensors"):
        ModelTensors(folder)


def test_a_truncated_checkpoint_is_named(make_model_folder):
    folder, _ = make_model_folder()
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TensorError, match="truncated"):
        ModelTensors(folder)
