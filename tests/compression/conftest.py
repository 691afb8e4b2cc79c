"""Small real LLaMA models and calibration sequences, drawn from a seed."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from compression.calibration import CalibrationBatch
from compression.config import CompressionConfig
from compression.pipeline import compress


def _make_llama(**changes):
    options = {
        "vocab_size": 61,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.15,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    torch.manual_seed(7)
    model = LlamaForCausalLM(LlamaConfig(**(options | changes))).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # transformers starts them at zero, where a lost bias would not show
                parameter.normal_()
    return model


def _make_batches(lengths=(12, 9, 12, 5) * 8, size=8, vocabulary=61, seed=3):
    """Right-padded batches of sequences of the given lengths."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for start in range(0, len(lengths), size):
        chosen = lengths[start : start + size]
        mask = torch.tensor([[1] * n + [0] * (max(chosen) - n) for n in chosen])
        ids = torch.randint(1, vocabulary, mask.shape, generator=generator) * mask
        batches.append(CalibrationBatch(ids, mask))
    return batches


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_llama():
    return _make_llama


@pytest.fixture
def make_batches():
    return _make_batches


@pytest.fixture
def llama():
    return _make_llama()


@pytest.fixture
def batches():
    return _make_batches()


@pytest.fixture
def pair(llama, batches):
    """A student at keep ratio 0.5 and its dense teacher."""
    teacher = copy.deepcopy(llama)
    compress(llama, batches, CompressionConfig())
    return llama, teacher
