"""What all tests share: one torch thread, and small real recommenders."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lcrec.catalog import build_catalog
from lcrec.dataset import Dataset, Item, ItemCodes
from lcrec.prompt import Prompt, PromptText, RecommenderCard, write_card


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread():
    torch.set_num_threads(1)


def _make_codes(items, sizes, seed=0):
    return np.random.default_rng(seed).integers(0, sizes, (items, len(sizes))).astype(np.int32)


def _make_dataset(items=60, sizes=(4, 4, 4), users=12, seed=0):
    random = np.random.default_rng(seed)
    return Dataset(
        name="toy",
        items=tuple(Item(f"i{row}", f"Item number {row}") for row in range(items)),
        users=tuple(f"u{user}" for user in range(users)),
        sequences=tuple(random.integers(0, items, random.integers(3, 12)).astype(np.int32) for _ in range(users)),
        codes=ItemCodes(_make_codes(items, sizes, seed), sizes),
    )


def _make_prompt(sizes=(4, 4, 4), separator=(2,), suffix=(3, 4), first=10, max_items=5):
    return Prompt((1, 5), separator, suffix, max_items, tuple(sizes), first)


FAMILY_OPTIONS = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {"head_dim": 12},
}


def _make_model(vocabulary, seed=0, family="llama", **changes):
    options = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.25,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **(options | FAMILY_OPTIONS[family] | changes))
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(
                ("bias", "q_norm.weight", "k_norm.weight")
            ):  # fresh ones do nothing: a loss would not show
                parameter.add_(0.5 * torch.randn_like(parameter))
    return model


@pytest.fixture
def make_codes():
    return _make_codes


@pytest.fixture(scope="session")
def make_dataset():
    return _make_dataset


@pytest.fixture
def make_prompt():
    return _make_prompt


@pytest.fixture
def make_model():
    return _make_model


@pytest.fixture
def make_catalog():
    def make(items=60, sizes=(4, 4, 4), seed=0):
        return build_catalog(_make_codes(items, sizes, seed), sizes, [f"i{row}" for row in range(items)])

    return make


@pytest.fixture
def make_model_folder(tmp_path):
    """Write a recommender's folder: random weights, a prompt, optionally low-rank projections."""
    from compression.checkpoint import save_model

    def make(name="model", sizes=(4, 4, 4), prompt=None, change=None, **options):
        prompt = prompt or _make_prompt(sizes)
        model = _make_model(prompt.first_code_token + prompt.code_rows + 3, **options)
        if change:
            change(model)
        folder = tmp_path / name
        folder.mkdir()
        save_model(model, folder)
        write_card(RecommenderCard(prompt, PromptText("<s>", ",", ";"), {"name": "toy"}, {}), folder)
        return folder, prompt

    return make
