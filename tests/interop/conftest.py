"""Models for the tests against optimum: the same weights as transformers reads them and as we export them."""

import pytest
import torch
from random_models import factor, randomise_biases
from safetensors.torch import load_file, save_file


def _multiply(folder, out):
    """Write a plain checkpoint whose matrices are the products of the factors: a factored model has no class there."""
    out.mkdir()
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith(".input_factor.weight")]:
        linear = name.removesuffix(".input_factor.weight")
        tensors[f"{linear}.weight"] = tensors.pop(f"{linear}.output_factor.weight") @ tensors.pop(name)
        if f"{linear}.output_factor.bias" in tensors:
            tensors[f"{linear}.bias"] = tensors.pop(f"{linear}.output_factor.bias")
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_bytes((folder / "config.json").read_bytes())
    return out


MODELS = {
    "dense": {},
    "untied-biases": {
        "change": randomise_biases,
        "tie_word_embeddings": False,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "factored": {"change": factor()},
    "partly-factored": {"change": factor(2), "num_key_value_heads": 1, "num_hidden_layers": 3},
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model_folder(request, make_model_folder):
    return make_model_folder(**request.param)[0]


@pytest.fixture
def plain_folder(model_folder, tmp_path):
    return _multiply(model_folder, tmp_path / "plain")


@pytest.fixture
def reference(plain_folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(plain_folder, dtype=torch.float32).eval()
