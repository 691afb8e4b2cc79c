"""Rounded models: what the exporter's rounding makes of them, and the bytes it takes."""

import numpy as np
import pytest
import torch
from random_models import factor

from compression.checkpoint import load_model, save_model
from compression.lowrank import projection_names
from lcrec.evaluate import dataset_catalog
from odllm.rounding import ROUNDINGS, bytes_of, find_rounding, round_model, rounded_matrix, sparse_bytes
from odllm_export.errors import ExportError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.oracle import model_results
from odllm_export.quantize import balance, restore_blocks, restore_columns, round_blocks, round_columns
from odllm_export.runtime import Recommender

QUERY = "model.layers.0.self_attn.q_proj"


def weights_of(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_a_rounded_matrix_is_what_the_exporter_stores(make_model, bits):
    model = make_model(30)
    before = model.get_submodule(QUERY).weight.detach().numpy().copy()
    round_model(model, f"int{bits}-block32")
    expected = restore_blocks(*round_blocks(before.T, bits, 32), bits, 32).T
    np.testing.assert_array_equal(model.get_submodule(QUERY).weight.detach().numpy(), expected)


def test_int8_has_a_scale_a_column(make_model):
    model = make_model(30)
    before = model.get_submodule(QUERY).weight.detach().numpy().copy()
    round_model(model, "int8-dynamic")
    expected = restore_columns(*round_columns(before.T)).T
    np.testing.assert_array_equal(model.get_submodule(QUERY).weight.detach().numpy(), expected)


def test_three_bits_have_eight_values_and_keep_the_largest():
    matrix = np.random.default_rng(0).standard_normal((32, 5)).astype(np.float32)
    rounded = rounded_matrix(matrix, find_rounding("int3-block32"))
    assert max(len(np.unique(column)) for column in rounded.T) <= 8
    largest = np.abs(matrix).argmax(axis=0)
    np.testing.assert_allclose(rounded[largest, np.arange(5)], matrix[largest, np.arange(5)], rtol=1e-6)


def test_factors_are_balanced_as_the_exporter_balances_them(make_model):
    model = make_model(30)
    factor()(model)
    layer = model.get_submodule(QUERY)
    inner, outer = balance(layer.input_factor.weight.detach().numpy(), layer.output_factor.weight.detach().numpy())
    round_model(model, "int4-block32")
    for found, exact in ((layer.input_factor, inner), (layer.output_factor, outer)):
        expected = restore_blocks(*round_blocks(exact.T, 4, 32), 4, exact.shape[1]).T
        np.testing.assert_array_equal(found.weight.detach().numpy(), expected)


def test_a_shared_input_factor_is_rounded_once(make_model):
    model = make_model(30, num_key_value_heads=4)
    factor()(model)
    query, key = model.get_submodule(QUERY), model.get_submodule(QUERY.replace("q_proj", "k_proj"))
    key.output_factor = torch.nn.Linear(query.rank, key.out_features, bias=False)
    key.input_factor = torch.nn.Linear(query.in_features, query.rank, bias=False)
    key.share_input(query)
    exact = [layer.dense_weight().detach().clone() for layer in (query, key)]
    round_model(model, "int8-block32")
    for layer, dense in zip((query, key), exact, strict=True):
        torch.testing.assert_close(layer.dense_weight(), dense, rtol=0, atol=0.02 * float(dense.abs().max()))


def test_only_projections_are_touched_unless_asked(make_model):
    model = make_model(30)
    before = weights_of(model)
    round_model(model, "int4-block32")
    touched = {name for name, weight in weights_of(model).items() if not torch.equal(weight, before[name])}
    assert touched == {f"{name}.weight" for name in projection_names(model)}
    round_model(model, "int4-block32", tables=True)
    assert not torch.equal(model.model.embed_tokens.weight, before["model.embed_tokens.weight"])


@pytest.mark.parametrize("change", [None, factor()], ids=["dense", "factored"])
def test_a_rounded_model_scores_as_its_bundle(make_model_folder, make_dataset, tmp_path, change):
    """Activations stay float32 in the precision exported, so only the rounding of weights is compared."""
    folder, _ = make_model_folder(change=change)
    data = make_dataset()
    options = ExportOptions(num_beams=6, top_k=5, golden=1, precision="int4-block32-fp32")
    manifest = export_bundle(folder, data, tmp_path / "bundle", options)
    model = load_model(folder)
    round_model(model, "int4-block32", tables=True)
    save_model(model, folder)
    history = data.split().test_history[0].astype(np.int64)
    (expected,) = model_results(folder, manifest, dataset_catalog(data), [(history, np.empty(0, np.int32))])
    with Recommender.open(tmp_path / "bundle") as recommender:
        _, scores = recommender.recommend_rows(history)
    np.testing.assert_allclose(scores, expected.scores, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in ROUNDINGS if name.startswith(("int8-b", "int4", "int8-d"))])
def test_bytes_are_those_of_the_arrays(make_model, name):
    model, precision = make_model(30), find_rounding(name)
    total = 0
    for linear in (model.get_submodule(projection) for projection in projection_names(model)):
        matrix = linear.weight.detach().numpy().T
        arrays = round_blocks(matrix, precision.bits, precision.block) if precision.block else round_columns(matrix)
        total += sum(array.nbytes for array in arrays)
    assert bytes_of(model, name) == total


def test_three_bits_take_three_eighths_of_a_byte(make_model):
    model = make_model(30)
    weights = sum(model.get_submodule(name).weight.numel() for name in projection_names(model))
    assert bytes_of(model, "fp32") == 4 * weights
    assert bytes_of(model, "int3-block32") >= weights * 3 / 8 + 4 * weights / 32  # an input of 48 is filled up to 64


def test_tied_tables_are_stored_once(make_model):
    model = make_model(30)
    assert bytes_of(model, "fp32", tables=True) - bytes_of(model, "fp32") == 4 * 30 * 32


def test_sparse_weights_are_counted_by_what_is_left(make_model):
    model = make_model(30)
    with torch.no_grad():
        for name in projection_names(model):
            model.get_submodule(name).weight[:, ::2] = 0
    weights = bytes_of(model, "fp32") // 4
    assert sparse_bytes(model) == 2 * weights + weights // 8


def test_a_rounded_model_is_saved_and_read_like_any_other(make_model, tmp_path):
    model = make_model(30)
    round_model(model, "int3-block32")
    save_model(model, tmp_path / "model")
    assert torch.equal(load_model(tmp_path / "model").get_submodule(QUERY).weight, model.get_submodule(QUERY).weight)


def test_an_unknown_rounding_is_named(make_model):
    with pytest.raises(ExportError, match="'int2' is not one of fp32"):
        round_model(make_model(30), "int2")
