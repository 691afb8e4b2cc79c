"""Each precision against the torch model that has the very weights which the graph stands for."""

import numpy as np
import pytest
import torch
from graph_tools import assert_same_lists, export, run
from random_models import factor
from safetensors.torch import load_file, save_file

from compression.checkpoint import load_model
from lcrec.search import search
from odllm_export.errors import ExportError, TensorError
from odllm_export.precision import DEVICE_PROFILES, PRECISIONS, choose_precision
from odllm_export.quantize import balance, restore_blocks, restore_columns, round_blocks, round_columns


def restored(matrix, precision):
    """Return the `[in, out]` matrix that a precision stores for another."""
    if precision.kind == "fp16":
        return matrix.astype(np.float16).astype(np.float32)
    if precision.kind == "int8-dynamic":
        return restore_columns(*round_columns(matrix))
    return restore_blocks(*round_blocks(matrix, precision.bits, precision.block), precision.bits, len(matrix))


def round_model(folder, precision):
    """Replace every matrix of a model folder by what the graph will hold in its place."""
    path = folder / "model.safetensors"
    tensors = {name: tensor.numpy() for name, tensor in load_file(path).items()}
    for name in [name for name in tensors if name.endswith(".input_factor.weight")]:
        other = name.replace("input_factor", "output_factor")
        tensors[name], tensors[other] = balance(tensors[name], tensors[other])
    for name, value in tensors.items():
        if value.ndim == 2:
            tensors[name] = restored(value.T, precision).T
    save_file({name: torch.from_numpy(np.ascontiguousarray(t)) for name, t in tensors.items()}, path)


EXACT_ACTIVATIONS = ["fp16", "int8-block32-fp32", "int8-block128-fp32", "int4-block32-fp32", "int4-block64-fp32"]
ROUNDED_ACTIVATIONS = ["int8-dynamic", "int8-block32", "int8-block64", "int4-block32", "int4-block128"]


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize("name", EXACT_ACTIVATIONS)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_lists_are_those_of_the_rounded_model(make_model_folder, make_catalog, tmp_path, name, scoring, tied):
    folder, prompt = make_model_folder(tie_word_embeddings=tied, change=factor(keep_every=2))
    session = export(folder, prompt, tmp_path, levels=3, scoring=scoring, precision=PRECISIONS[name])
    round_model(folder, PRECISIONS[name])
    assert_same_lists(session, folder, prompt, make_catalog(), scoring=scoring, cases=6)


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize("name", ROUNDED_ACTIVATIONS)
def test_rounded_activations_stay_near_the_rounded_model(make_model_folder, make_catalog, tmp_path, name, scoring):
    folder, prompt = make_model_folder(change=factor(keep_every=2))
    session = export(folder, prompt, tmp_path, levels=3, scoring=scoring, num_beams=60, precision=PRECISIONS[name])
    round_model(folder, PRECISIONS[name])
    catalog, model = make_catalog(), load_model(folder)
    codes = catalog.item_code_rows - catalog.level_offsets
    rows, scores = run(session, catalog, [1, 2, 3])
    (expected,) = search(
        model, [prompt.encode(codes[[1, 2, 3]])], catalog, prompt.first_code_token, num_beams=60, scoring=scoring
    )
    ours, theirs = np.empty(60), np.empty(60)
    ours[rows], theirs[expected.rows] = scores, expected.scores
    # Scores range over tens. The weights are in place to the last bit (above); this is the activations' rounding.
    assert np.abs(ours - theirs).mean() < 0.1
    assert np.corrcoef(ours, theirs)[0, 1] > 0.995


def test_int8_results_of_a_row_do_not_depend_on_other_rows(make_model_folder, make_catalog, tmp_path):
    folder, prompt = make_model_folder()
    catalog = make_catalog()
    lists = []
    for ahead in (0, 1000):  # other tokens in the passes
        out = tmp_path / str(ahead)
        out.mkdir()
        options = {"levels": 3, "scoring": "vocab", "ahead": ahead, "precision": PRECISIONS["int8-dynamic"]}
        lists.append(run(export(folder, prompt, out, **options), catalog, [4, 5]))
    np.testing.assert_array_equal(lists[0][0], lists[1][0])
    np.testing.assert_allclose(lists[0][1], lists[1][1], atol=1e-5)


def test_every_name_says_what_it_is():
    assert {"fp32", "fp16", "int8-dynamic", "int8-block32", "int4-block128", "int4-block32-fp32"} <= set(PRECISIONS)
    assert all(precision.summary for precision in PRECISIONS.values())
    assert [name for name, precision in PRECISIONS.items() if precision.exact] == ["fp32"]


def test_auto_follows_the_device_profile():
    assert choose_precision("fp16", None)[0].name == "fp16"
    for name, profile in DEVICE_PROFILES.items():
        chosen, reason = choose_precision("auto", name)
        assert (chosen.name, reason) == (profile.precision, profile.reason)


@pytest.mark.parametrize(
    ("name", "profile", "message"),
    [
        ("int3", None, "not one of fp32"),
        ("auto", None, "needs a device profile"),
        ("auto", "toaster", "found 'toaster'"),
        ("fp32", "arm-base", "decides only"),
    ],
)
def test_choices_without_sense_are_refused(name, profile, message):
    with pytest.raises(ExportError, match=message):
        choose_precision(name, profile)


def test_weights_beyond_half_precision_are_refused(make_model_folder, tmp_path):
    folder, prompt = make_model_folder()
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.0.mlp.down_proj.weight"][0, 0] = 1e5
    save_file(tensors, path)
    with pytest.raises(TensorError, match="beyond half precision"):
        export(folder, prompt, tmp_path, levels=3, precision=PRECISIONS["fp16"])
