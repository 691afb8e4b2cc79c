"""Each family's graph against transformers' own model of that family: same lists, same scores."""

import numpy as np
import onnx
import pytest
import torch
from random_models import factor
from transformers import AutoModelForCausalLM

from compression.calibration import CalibrationBatch
from compression.checkpoint import load_model, save_model
from compression.config import CompressionConfig
from compression.errors import UnsupportedModelError as NotCompressible
from compression.lowrank import factored_linears
from compression.pipeline import compress
from lcrec.evaluate import dataset_catalog
from lcrec.search import search
from odllm_artifact import read_json, write_folder, write_json
from odllm_export.errors import TensorError, UnsupportedModelError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.families.registry import FAMILIES, read_decoder
from odllm_export.runtime import Recommender
from odllm_export.verify import random_cases

LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0}
LLAMA3 = {  # of head size 8: one fast frequency, one in between, two slow ones
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
ROPES = {"default": {"rope_type": "default", "rope_theta": 500000.0}, "linear": LINEAR, "llama3": LLAMA3}


def assert_same_lists(model, folder, prompt, dataset, out):
    """Export the folder and ask the bundle and `model` the same questions."""
    export_bundle(folder, dataset, out, ExportOptions(num_beams=6, top_k=6, scoring="vocab", golden=1))
    recommender, catalog = Recommender.open(out), dataset_catalog(dataset)
    codes = catalog.item_code_rows - catalog.level_offsets
    for history, blocked in random_cases(recommender, 6):
        (expected,) = search(
            model,
            [prompt.encode(codes[history])],
            catalog,
            prompt.first_code_token,
            num_beams=6,
            scoring="vocab",
            blocked=[blocked.tolist()],
        )
        rows, scores = recommender.recommend_rows(history, blocked)
        np.testing.assert_array_equal(rows, expected.rows)
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kv_heads", [2, 4], ids=["grouped-query", "multi-head"])
@pytest.mark.parametrize("family", FAMILIES)
def test_dense_lists_are_those_of_transformers(make_model_folder, make_dataset, tmp_path, family, kv_heads, tied):
    folder, prompt = make_model_folder(family=family, num_key_value_heads=kv_heads, tie_word_embeddings=tied)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(model).__name__.lower() == f"{family}forcausallm"
    assert_same_lists(model, folder, prompt, make_dataset(), tmp_path / "bundle")


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kv_heads", [2, 4], ids=["grouped-query", "multi-head"])
@pytest.mark.parametrize("family", FAMILIES)
def test_factored_lists_are_those_of_the_model(make_model_folder, make_dataset, tmp_path, family, kv_heads, tied):
    folder, prompt = make_model_folder(
        family=family, num_key_value_heads=kv_heads, tie_word_embeddings=tied, change=factor()
    )
    assert_same_lists(load_model(folder), folder, prompt, make_dataset(), tmp_path / "bundle")


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_input_factors_are_stored_once_and_give_the_lists_of_the_model(
    make_model_folder, make_dataset, tmp_path, family
):
    folder, prompt = make_model_folder(family=family, change=factor(shared=True))
    model, bundle = load_model(folder), tmp_path / "bundle"
    assert_same_lists(model, folder, prompt, make_dataset(), bundle)
    kept = sum(p.numel() for p in {id(p): p for p in model.model.layers.parameters()}.values() if p.dim() == 2)
    matrices = onnx.load(bundle / "recommend.onnx", load_external_data=False).graph.initializer
    stored = sum(int(np.prod(t.dims)) for t in matrices if "_factor" in t.name and len(t.dims) == 2)
    assert stored == kept  # not even the last block, whose query is a matrix of its own, stores a copy
    assert read_json(bundle / "manifest.json")["model"]["keep_ratio"] == pytest.approx(
        kept
        / sum(rows * columns for rows, columns in read_decoder(folder).projections.values())
        / len(model.model.layers)
    )


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("llama", {"attention_bias": True}),
        ("llama", {"mlp_bias": True}),
        ("mistral", {"head_dim": 10}),
        ("qwen2", {"num_hidden_layers": 1}),
        ("qwen3", {"attention_bias": True}),
        ("qwen3", {"num_hidden_layers": 1, "rms_norm_eps": 0.1}),
    ],
)
def test_what_a_family_leaves_to_its_configuration(make_model_folder, make_dataset, tmp_path, family, options):
    folder, prompt = make_model_folder(family=family, **options)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert_same_lists(model, folder, prompt, make_dataset(), tmp_path / "bundle")


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_rope_variants(make_model_folder, make_dataset, tmp_path, family, rope):
    folder, prompt = make_model_folder(family=family, rope_parameters=ROPES[rope])
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert_same_lists(model, folder, prompt, make_dataset(), tmp_path / "bundle")


@pytest.mark.parametrize("rope", ROPES)
def test_rotary_tables_are_those_of_transformers(make_model_folder, rope):
    folder, _ = make_model_folder(rope_parameters=ROPES[rope])
    rotary, decoder = AutoModelForCausalLM.from_pretrained(folder).model.rotary_emb, read_decoder(folder)
    assert torch.equal(decoder.rope.inverse_frequencies(decoder.head_size), rotary.inv_freq)
    cosines, sines = decoder.rotary_caches(300)
    expected = rotary(torch.zeros(1), torch.arange(300)[None])
    np.testing.assert_allclose(cosines, expected[0][0, :, :4].numpy(), atol=1e-6)
    np.testing.assert_allclose(sines, expected[1][0, :, :4].numpy(), atol=1e-6)


def test_keys_of_older_transformers_mean_the_same(make_model_folder):
    folder, _ = make_model_folder(rope_parameters=LLAMA3)
    new, content = read_decoder(folder), read_json(folder / "config.json")
    rope = dict(content.pop("rope_parameters"))
    content |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    write_json(folder / "config.json", content)
    assert read_decoder(folder) == new


def test_a_missing_key_has_the_familys_default(make_model_folder):
    folder, _ = make_model_folder(family="qwen3", head_dim=128)
    content = read_json(folder / "config.json")
    del content["head_dim"]
    write_json(folder / "config.json", content)
    assert read_decoder(folder).head_size == 128


YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "short_factor": [1.0] * 4,
    "long_factor": [2.0] * 4,
}


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("llama", {"model_type": "gpt2"}, "is a 'gpt2' model; the exporter covers llama, mistral, qwen2, qwen3"),
        ("llama", {"model_type": "made_up"}, "of a 'made_up' model"),
        ("llama", {"model_type": "mixtral"}, "mixture of experts"),
        ("llama", {"model_type": "qwen2_moe"}, "mixture of experts"),
        ("llama", {"model_type": "qwen3_moe"}, "mixture of experts"),
        ("llama", {"num_local_experts": 4}, "mixture of experts"),
        ("mistral", {"sliding_window": 4096}, "sliding window of 4096 tokens.*set sliding_window to null"),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 0, "layer_types": None},
            "sliding_attention",
        ),
        ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, r"sliding_attention \(a sliding window"),
        ("llama", {"attn_logit_softcapping": 50.0}, "soft-capping of attention logits"),
        ("llama", {"final_logit_softcapping": 30.0}, "soft-capping of logits"),
        ("llama", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantized weights"),
        ("llama", {"hidden_act": "gelu"}, "activation 'gelu'"),
        ("llama", {"partial_rotary_factor": 0.5}, r"partial_rotary_factor 0\.5"),
        ("qwen3", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "'dynamic'"),
        ("qwen2", {"rope_parameters": YARN}, "'yarn'"),
        ("llama", {"rope_parameters": LONGROPE}, "'longrope'"),
        ("llama", {"rope_parameters": {"rope_type": "llama3"}}, "Missing required keys.*'llama3'"),
        ("llama", {"num_hidden_layers": "two"}, "num_hidden_layers"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 8 else "",
)
def test_what_the_graph_does_not_compute_is_named(make_model_folder, family, change, message):
    folder, _ = make_model_folder(family=family)
    write_json(folder / "config.json", read_json(folder / "config.json") | change)
    with pytest.raises(UnsupportedModelError, match=message):
        read_decoder(folder)


@pytest.mark.parametrize(
    ("family", "key", "message"),
    [("qwen2", "q_proj.bias", "lacks a bias of .*q_proj"), ("qwen3", "k_norm.weight", "no tensor .*k_norm")],
)
def test_a_tensor_that_only_this_family_has_is_missed(make_model_folder, make_dataset, tmp_path, family, key, message):
    from safetensors.torch import load_file, save_file

    folder, _ = make_model_folder(family=family)
    tensors = load_file(folder / "model.safetensors")
    del tensors[f"model.layers.1.self_attn.{key}"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(TensorError, match=message):
        export_bundle(folder, make_dataset(), tmp_path / "bundle")


def test_a_bias_that_the_configuration_does_not_speak_of_is_refused(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder(attention_bias=True)
    write_json(folder / "config.json", read_json(folder / "config.json") | {"attention_bias": False})
    with pytest.raises(TensorError, match=r"holds a bias of model\.layers\.0\.self_attn\.q_proj"):
        export_bundle(folder, make_dataset(), tmp_path / "bundle")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_compressed_saved_loaded_and_exported(make_model_folder, make_dataset, tmp_path, family):
    folder, prompt = make_model_folder(family=family)
    model = load_model(folder)
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(1, model.config.vocab_size, (3, 8, 12), generator=generator)
    vectors = {name: value.clone() for name, value in model.named_parameters() if value.dim() == 1}
    compress(model, [CalibrationBatch(batch, torch.ones_like(batch)) for batch in ids], CompressionConfig())
    assert len(factored_linears(model)) == 14
    kept = {name.replace("output_factor.", ""): value for name, value in model.named_parameters() if value.dim() == 1}
    assert kept.keys() == vectors.keys()  # norms and biases are all there and untouched
    assert all(torch.equal(kept[name], value) for name, value in vectors.items())

    small = tmp_path / "small"
    with write_folder(small) as staging:
        save_model(model, staging)
        (staging / "recommender.json").write_bytes((folder / "recommender.json").read_bytes())
    loaded = load_model(small)
    assert torch.equal(loaded(ids[0]).logits, model(ids[0]).logits)
    assert_same_lists(loaded, small, prompt, make_dataset(), tmp_path / "bundle")


def test_compression_refuses_a_sliding_window(make_model_folder):
    folder, _ = make_model_folder(family="mistral")
    write_json(folder / "config.json", read_json(folder / "config.json") | {"sliding_window": 64})
    with pytest.raises(NotCompressible, match="sliding window of 64 tokens"):
        load_model(folder)
