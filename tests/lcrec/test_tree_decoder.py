import numpy as np
import pytest
import torch
from random_models import factor, randomise_biases
from torch import nn

from lcrec.catalog import build_catalog
from lcrec.search import search
from lcrec.tree_decoder import Head, TreeDecoder, has_plain_blocks

FIRST, SIZES = 10, (4, 4, 4)
VOCABULARY = FIRST + sum(SIZES)
LONG = np.arange(60) % FIRST  # what prompts of a language model begin with


@pytest.fixture
def prompts():
    random = np.random.default_rng(2)
    return [random.integers(0, VOCABULARY, tokens) for tokens in (7, 2, 12, 1)]


class Wrapped(nn.Module):
    """A head with something around it, as adapters have it."""

    def __init__(self, head):
        super().__init__()
        self.head = head
        self.weight = head.weight

    def forward(self, hidden):
        return self.head(hidden)


@torch.inference_mode()
def check_logits(model, prompts):
    """Hold a tree of two steps against plain forwards of every path in it."""
    decoder, head = TreeDecoder(model, prompts, 8), Head(model)

    def compare(read, paths):
        for user, path in np.ndindex(read.shape[:2]):
            ids = np.array([*prompts[user], *paths[user][path]])
            expected = model(input_ids=torch.from_numpy(ids)[None]).logits[0, -1]
            torch.testing.assert_close(head.logits(read, slice(None))[user, path], expected, atol=2e-5, rtol=1e-4)
            torch.testing.assert_close(head.logits(read, slice(3, 9))[user, path], expected[3:9], atol=2e-5, rtol=1e-4)

    users = len(prompts)
    compare(decoder.prefill(), [[[]]] * users)
    tokens = torch.arange(4 * users).view(users, 4) % VOCABULARY
    compare(decoder.step(tokens, torch.zeros_like(tokens)), [[[t] for t in row] for row in tokens.tolist()])
    parent = torch.tensor([[3, 0, 3]]).expand(users, -1)
    after = (tokens[:, :3] + 5) % VOCABULARY
    paths = [
        [[before[p], t] for p, t in zip(parent[0].tolist(), row, strict=True)]
        for before, row in zip(tokens.tolist(), after.tolist(), strict=True)
    ]
    compare(decoder.step(after, parent), paths)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("change", [None, factor(shared=True), factor(2)])
def test_every_family_reads_the_tree_as_one_path_at_a_time(make_model, prompts, family, change):
    model = make_model(VOCABULARY, family=family)
    assert has_plain_blocks(model)
    if change:
        change(model)
    check_logits(model, prompts)


def test_a_head_and_projections_with_biases(make_model, prompts):
    model = make_model(VOCABULARY, attention_bias=True, mlp_bias=True, tie_word_embeddings=False)
    model.lm_head = nn.Linear(32, VOCABULARY)
    randomise_biases(model)
    assert has_plain_blocks(model)
    check_logits(model, prompts)


def test_a_wrapped_head_is_left_to_the_models_own_forward(make_model, prompts):
    model = make_model(VOCABULARY, tie_word_embeddings=False)
    model.lm_head = Wrapped(model.lm_head)
    assert not has_plain_blocks(model)
    check_logits(model, prompts)


def test_a_model_of_another_family_is_left_to_its_own_forward(make_model, prompts):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "granite",
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        logits_scaling=3.0,
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    assert not has_plain_blocks(model)
    check_logits(model, prompts)


def test_what_all_prompts_begin_with_runs_once(make_model, prompts):
    model, widths = make_model(VOCABULARY), []
    together = [np.concatenate([LONG, prompt]) for prompt in prompts]
    check_logits(model, together)
    hook = model.model.embed_tokens.register_forward_hook(lambda _, ids, __: widths.append(tuple(ids[0].shape)))
    TreeDecoder(model, together, 0).prefill()
    hook.remove()
    assert widths == [(1, len(LONG)), (4, 12)]


def test_prompts_that_are_all_the_same(make_model):
    check_logits(make_model(VOCABULARY), [LONG] * 3)


@pytest.mark.parametrize(
    ("items", "widths"),
    [
        ([(0, 0, 0), (0, 1, 1), (1, 2, 2), (3, 3, 3)], [3]),  # after two codes every item is alone: nothing to read
        ([(0, 0, 0), (0, 0, 1), (1, 2, 2), (3, 3, 3)], [3, 1]),  # one of three beams goes on in two ways
    ],
)
def test_before_the_last_level_only_beams_that_branch_are_read(make_model, monkeypatch, items, widths):
    seen, step = [], TreeDecoder.step

    def watched(self, tokens, parent):
        seen.append(tokens.shape[1])
        return step(self, tokens, parent)

    monkeypatch.setattr(TreeDecoder, "step", watched)
    catalog = build_catalog(np.array(items), SIZES, [str(row) for row in range(len(items))])
    search(make_model(VOCABULARY), [np.array([1, 2])], catalog, FIRST, num_beams=4, scoring="codes")
    assert seen == widths


def test_under_autocast_keys_and_values_keep_their_own_types(make_model, prompts):
    model = make_model(VOCABULARY)
    codes = np.array([(a, b, c) for a in range(4) for b in range(4) for c in range(4)])
    catalog = build_catalog(codes, SIZES, [str(row) for row in range(64)])
    exact = search(model, prompts, catalog, FIRST, num_beams=64, scoring="codes")
    with torch.autocast("cpu", torch.bfloat16):
        rounded = search(model, prompts, catalog, FIRST, num_beams=64, scoring="codes")
    for one, other in zip(exact, rounded, strict=True):
        scores = dict(zip(one.rows.tolist(), one.scores.tolist(), strict=True))
        np.testing.assert_allclose(other.scores, [scores[row] for row in other.rows.tolist()], atol=0.2)
        assert other.scores.dtype == np.float32
