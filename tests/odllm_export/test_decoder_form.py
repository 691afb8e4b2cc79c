"""The `decoder` form against transformers: the same logits, with and without cache, padded or not."""

import numpy as np
import onnx
import pytest
import torch
from onnx_decoding import DecoderSession
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors
from random_models import factor, randomise_biases

from compression.checkpoint import load_model
from odllm_artifact import ArtifactError, read_json, sha256_file, write_json
from odllm_export.decoder_form import export_decoder
from odllm_export.errors import ExportError, TensorError

VOCABULARY = 25


MODELS = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "multi-head": {"num_key_value_heads": 4},
    "one-layer": {"num_hidden_layers": 1, "num_key_value_heads": 1},
    "biases": {"change": randomise_biases, "attention_bias": True, "mlp_bias": True},
    "head-size": {"head_dim": 12, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "factored": {"change": factor()},
    "mixed": {"change": factor(2), "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def both(request, make_model_folder, tmp_path):
    folder, _ = make_model_folder(**request.param)
    export_decoder(folder, tmp_path / "decoder", max_positions=64)
    return load_model(folder), DecoderSession(tmp_path / "decoder" / "model.onnx")


@pytest.fixture
def exported(make_model_folder, tmp_path):
    folder, _ = make_model_folder()
    return folder, tmp_path / "decoder", export_decoder(folder, tmp_path / "decoder", max_positions=32)


def left_padded(lengths, seed=0):
    random, longest = np.random.default_rng(seed), max(lengths)
    mask = (np.arange(longest) >= longest - np.array(lengths)[:, None]).astype(np.int64)
    return random.integers(0, VOCABULARY, mask.shape) * mask, mask


@torch.inference_mode()
def torch_logits(model, ids, mask):
    positions = torch.from_numpy(np.maximum(mask.cumsum(1) - 1, 0))
    output = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), position_ids=positions)
    return output.logits.numpy()


def test_logits_of_a_batch_with_left_padding(both):
    model, session = both
    ids, mask = left_padded([9, 4, 1])
    logits = session(ids, mask)
    assert np.isfinite(logits).all()
    assert logits.shape == (3, 9, model.config.vocab_size)
    np.testing.assert_allclose(logits[mask == 1], torch_logits(model, ids, mask)[mask == 1], atol=1e-4)


def test_every_row_sees_what_lies_before_it_without_padding_and_always_itself(exported):
    """A padded row that sees nothing at all is not a number in some runtimes."""
    path = exported[1] / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    (mask_name,) = {node.input[3] for node in model.graph.node if node.op_type == "Attention"}
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(mask_name))
    onnx.save(model, path)
    session, (ids, mask) = DecoderSession(path), left_padded([9, 4, 6])
    session(ids[:, :3], mask[:, :3])
    (seen,) = session.run([mask_name], ids[:, 3:], mask)
    rows, keys = np.arange(3, 9)[:, None], np.arange(9)
    expected = ((keys <= rows) & (mask[:, None, None] == 1)) | (keys == rows)
    np.testing.assert_array_equal(seen, expected)


def test_logits_token_by_token_over_the_cache(both):
    model, session = both
    ids, mask = left_padded([9, 5, 6], seed=1)
    expected = torch_logits(model, ids, mask)
    np.testing.assert_allclose(session(ids[:, :5], mask[:, :5])[:, -1], expected[:, 4], atol=1e-4)
    for end in range(6, 10):
        logits = session(ids[:, end - 1 : end], mask[:, :end])
        np.testing.assert_allclose(logits[:, 0], expected[:, end - 1], atol=1e-4)


def test_several_tokens_over_the_cache_see_one_another_causally(both):
    model, session = both
    ids, mask = left_padded([9, 4, 6], seed=2)
    session(ids[:, :5], mask[:, :5])
    np.testing.assert_allclose(session(ids[:, 5:], mask), torch_logits(model, ids, mask)[:, 5:], atol=1e-4)


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic", "int8-block32", "int4-block32", "int4-block64-fp32"])
def test_every_precision_gives_a_batch_over_a_cache_what_each_prompt_gets_alone(make_model_folder, tmp_path, precision):
    folder, _ = make_model_folder(change=factor(2), hidden_size=64, intermediate_size=96)
    facts = export_decoder(folder, tmp_path / "decoder", precision=precision)
    assert facts["model"]["precision"] == precision
    session, (ids, mask) = DecoderSession(tmp_path / "decoder" / "model.onnx"), left_padded([9, 4, 6])
    logits = np.concatenate([session(ids[:, :5], mask[:, :5]), session(ids[:, 5:], mask)], axis=1)
    for row, length in enumerate((9, 4, 6)):
        session.forget(1)
        alone = session(ids[row : row + 1, -length:], mask[row : row + 1, -length:])
        np.testing.assert_allclose(logits[row, -length:], alone[0], atol=1e-3)
    exact = torch_logits(load_model(folder), ids, mask)[mask == 1]
    correlation = np.corrcoef(exact.ravel(), logits[mask == 1].ravel())[0, 1]
    assert correlation > 0.6  # of a random model at four bits; other weights would give none


def test_names_types_and_axes_are_those_of_optimum(exported):
    session = DecoderSession(exported[1] / "model.onnx").session
    inputs = {i.name: (i.type, i.shape) for i in session.get_inputs()}
    outputs = {o.name: (o.type, o.shape) for o in session.get_outputs()}
    new, past, both = "sequence_length", "past_sequence_length", "past_sequence_length + sequence_length"
    assert inputs == {
        "input_ids": ("tensor(int64)", ["batch_size", new]),
        "attention_mask": ("tensor(int64)", ["batch_size", both]),
        "position_ids": ("tensor(int64)", ["batch_size", new]),
        **{
            f"past_key_values.{layer}.{half}": ("tensor(float)", ["batch_size", 2, past, 8])
            for layer in range(2)
            for half in ("key", "value")
        },
    }
    assert outputs == {
        "logits": ("tensor(float)", ["batch_size", new, VOCABULARY]),
        **{
            f"present.{layer}.{half}": ("tensor(float)", ["batch_size", 2, both, 8])
            for layer in range(2)
            for half in ("key", "value")
        },
    }


def test_the_graph_passes_the_checker_and_holds_no_weights(exported):
    onnx.checker.check_model(str(exported[1] / "model.onnx"), full_check=True)
    assert (exported[1] / "model.onnx").stat().st_size < 40_000


def test_the_folder_says_what_it_is(exported, make_model_folder):
    folder, out, facts = exported
    assert read_json(out / "odllm.json") == facts
    assert {path.name for path in out.iterdir()} == {*facts["files"], "odllm.json"}
    assert all(fact["sha256"] == sha256_file(out / name) for name, fact in facts["files"].items())
    assert facts["provenance"]["checkpoint_sha256"] == sha256_file(folder / "model.safetensors")
    assert facts["model"]["keep_ratio"] == 1.0
    assert facts["model"]["max_positions"] == 32


def test_settings_and_tokenizer_go_along(make_model_folder, tmp_path):
    folder, _ = make_model_folder()
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"dtype": "bfloat16"})
    write_json(folder / "tokenizer.json", {"version": "1.0"})
    write_json(folder / "generation_config.json", {"eos_token_id": 7})
    export_decoder(folder, tmp_path / "decoder")
    for name in ("tokenizer.json", "generation_config.json", "recommender.json"):
        assert (tmp_path / "decoder" / name).read_bytes() == (folder / name).read_bytes()
    assert read_json(tmp_path / "decoder" / "config.json") == config | {"dtype": "float32"}


def test_a_model_without_generation_settings_gets_its_special_tokens(make_model_folder, tmp_path):
    folder, _ = make_model_folder()
    (folder / "generation_config.json").unlink()
    export_decoder(folder, tmp_path / "decoder")
    written = read_json(tmp_path / "decoder" / "generation_config.json")
    assert written == {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}


def test_positions_beyond_the_tables_are_refused_by_the_runtime(exported):
    session = DecoderSession(exported[1] / "model.onnx")
    for length in range(1, 33):
        session(np.ones((1, 1), np.int64), np.ones((1, length), np.int64))
    with pytest.raises(runtime_errors.InvalidArgument, match=r"32 at index 0 is out of range"):
        session(np.ones((1, 1), np.int64), np.ones((1, 33), np.int64))


@pytest.mark.parametrize("positions", [0, -1])
def test_a_length_that_makes_no_sense_is_refused(make_model_folder, tmp_path, positions):
    folder, _ = make_model_folder()
    with pytest.raises(ExportError, match=rf"longest sequence is {positions}"):
        export_decoder(folder, tmp_path / "decoder", max_positions=positions)


def test_an_export_that_fails_leaves_nothing(make_model_folder, tmp_path):
    folder, _ = make_model_folder()
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(TensorError):
        export_decoder(folder, tmp_path / "decoder")
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_folder_that_is_there_is_kept(exported):
    folder, out, _ = exported
    with pytest.raises(ArtifactError, match="exists already"):
        export_decoder(folder, out)
    export_decoder(folder, out, overwrite=True)
