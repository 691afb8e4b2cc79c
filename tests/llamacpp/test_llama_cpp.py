"""Against the real llama.cpp: our GGUF file computes what the model computes, also where beams share the cache.

Runs in an environment of its own (`make llama-cpp`), without torch: the oracle is LLaMA in numpy, in double precision.
"""

import json

import numpy as np
import pytest

pytest.importorskip("llama_cpp", reason="llama.cpp has an environment of its own: make llama-cpp")

from safetensors.numpy import save_file

from mobile_bench.baselines.gguf_job import FILE_NAME, write_gguf
from mobile_bench.baselines.llama_cpp import LlamaCppRunner, SharedCacheDecoder
from mobile_bench.baselines.workload import Workload, find_shape
from mobile_bench.errors import BenchError
from odllm_export.trie_search import Beams, TrieSearch

SHAPE = find_shape("tiny")
SIZE = SHAPE.hidden // SHAPE.heads
THETA, EPSILON = 10_000.0, 1e-6


@pytest.fixture(scope="module")
def tensors():
    random = np.random.default_rng(0)
    hidden, keys, mlp = SHAPE.hidden, SHAPE.kv_heads * SIZE, SHAPE.intermediate
    shapes = {"model.embed_tokens.weight": (SHAPE.vocabulary, hidden), "model.norm.weight": (hidden,)}
    for layer in range(SHAPE.layers):
        block = f"model.layers.{layer}."
        shapes |= {f"{block}{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
        rows = {"self_attn.q": hidden, "self_attn.k": keys, "self_attn.v": keys, "mlp.gate": mlp, "mlp.up": mlp}
        shapes |= {f"{block}{name}_proj.weight": (count, hidden) for name, count in rows.items()}
        shapes |= {f"{block}self_attn.o_proj.weight": (hidden, hidden), f"{block}mlp.down_proj.weight": (hidden, mlp)}
    return {
        name: (random.normal(1.0 if len(shape) == 1 else 0.0, 0.2, shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def model_folder(tensors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = {
        "vocab_size": SHAPE.vocabulary,
        "hidden_size": SHAPE.hidden,
        "num_hidden_layers": SHAPE.layers,
        "num_attention_heads": SHAPE.heads,
        "num_key_value_heads": SHAPE.kv_heads,
        "intermediate_size": SHAPE.intermediate,
        "max_position_embeddings": 128,
        "rms_norm_eps": EPSILON,
        "rope_parameters": {"rope_type": "default", "rope_theta": THETA},
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def gguf(model_folder, tmp_path_factory):
    def written(kind):
        out = tmp_path_factory.mktemp("gguf") / kind
        write_gguf(model_folder, out, kind)
        return out

    return written


def norm(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON) * weight


def rotated(x):
    """Rotate `[tokens, heads, size]` by position: row i of a head with row i + size/2."""
    half = SIZE // 2
    turns = np.exp(1j * np.arange(len(x))[:, None] * THETA ** (-np.arange(half) / half))[:, None]
    turned = (x[..., :half] + 1j * x[..., half:]) * turns
    return np.concatenate([turned.real, turned.imag], axis=-1)


def logits_of(tensors, ids):
    """Return `[vocabulary]` logits behind a sequence, in float64."""
    weights = {name: values.astype(np.float64) for name, values in tensors.items()}
    x, future = weights["model.embed_tokens.weight"][ids], np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for layer in range(SHAPE.layers):
        w = {name.split(".")[-2]: value for name, value in weights.items() if f"layers.{layer}." in name}
        y = norm(x, w["input_layernorm"])
        q, k, v = (
            (y @ w[name].T).reshape(len(ids), -1, SIZE).repeat(times, axis=1)
            for name, times in (("q_proj", 1), ("k_proj", 2), ("v_proj", 2))
        )
        scores = np.einsum("ihd,jhd->hij", rotated(q), rotated(k)) / np.sqrt(SIZE) + future
        attention = np.exp(scores - scores.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        x = x + np.einsum("hij,jhd->ihd", attention, v).reshape(x.shape) @ w["o_proj"].T
        y = norm(x, w["post_attention_layernorm"])
        gate = y @ w["gate_proj"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w["up_proj"].T)) @ w["down_proj"].T
    return norm(x[-1], weights["model.norm.weight"]) @ weights["model.embed_tokens.weight"].T


def test_beams_that_share_the_cache_see_their_own_past_only(gguf, tensors):
    random = np.random.default_rng(1)
    prefix, first, second = (random.integers(SHAPE.vocabulary, size=size) for size in (3, 6, 4))
    decoder = SharedCacheDecoder(gguf("f32") / FILE_NAME, prefix, 40, 3, exact=True)
    for prompt in (np.concatenate([prefix, first]), np.concatenate([prefix, second])):  # nothing of the first remains
        np.testing.assert_allclose(decoder.prefill(prompt)[0], logits_of(tensors, prompt), atol=2e-4)
        sequences = [prompt]
        for parents in ([0, 0, 0], [2, 0, 2], [1, 1, 0]):
            tokens = random.integers(SHAPE.vocabulary, size=3)
            found = decoder.step(tokens, np.array(parents))
            sequences = [np.append(sequences[parent], token) for parent, token in zip(parents, tokens, strict=True)]
            expected = [logits_of(tensors, sequence) for sequence in sequences]
            np.testing.assert_allclose(found, expected, atol=2e-4)
    decoder.close()


@pytest.mark.parametrize("scoring", ["vocab", "codes"])
def test_the_lists_are_those_of_whole_sequences_in_double_precision(gguf, tensors, scoring):
    workload = Workload(SHAPE, 2)
    runner = LlamaCppRunner(gguf("f32"), workload, scoring, "f32")
    for number, prompt in enumerate(workload.prompts):
        search = TrieSearch.without(
            np.zeros(0, np.int64), workload.catalog, SHAPE.num_beams, scoring, workload.prompt.first_code_token
        )
        beams = Beams.root()
        for _ in range(workload.catalog.levels):
            written = workload.catalog.node_code[beams.path[:, 1:]] + workload.prompt.first_code_token
            logits = [logits_of(tensors, np.concatenate([prompt, codes])) for codes in written]
            beams = search.grow(beams, np.array(logits, np.float32))
        rows, scores = runner.ranked(number)
        expected_rows, expected_scores = search.items(beams)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-3)


@pytest.mark.parametrize(("kind", "most"), [("f16", 0.02), ("q8_0", 0.2)])
def test_rounded_files_compute_nearly_the_same(gguf, tensors, kind, most):
    prompt = np.arange(12)
    decoder = SharedCacheDecoder(gguf(kind) / FILE_NAME, prompt[:2], 20, 2, exact=False)
    difference = np.abs(decoder.prefill(prompt)[0] - logits_of(tensors, prompt)).max()
    assert 0 < difference < most


def test_a_file_that_is_not_gguf_is_refused(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"no model")
    with pytest.raises(BenchError, match="cannot open"):
        SharedCacheDecoder(tmp_path / FILE_NAME, np.zeros(0, np.int64), 8, 2, exact=True)
