import itertools

import numpy as np
import pytest
import torch
from transformers import Cache

from lcrec.catalog import build_catalog
from lcrec.errors import SearchError
from lcrec.search import _margin, search

SIZES = (4, 4, 4)
FIRST = 10


@pytest.fixture
def model(make_model):
    return make_model(FIRST + sum(SIZES) + 2)


@pytest.fixture
def catalog(make_catalog):
    return make_catalog(items=40)


@pytest.fixture
def prompts(make_prompt, catalog):
    prompt = make_prompt()
    codes = catalog.item_code_rows - catalog.level_offsets
    random = np.random.default_rng(1)
    return [prompt.encode(codes[random.integers(0, 40, n)]) for n in (1, 5, 3, 8)]


@torch.inference_mode()
def brute_force(model, prompt, catalog, scoring, blocked=()):
    """Score every item by one plain forward of prompt and codes, in float64."""
    live = catalog.block(list(blocked)).live_items
    items = [row for row in range(catalog.items) if row not in blocked]
    scores = {}
    for row in items:
        tokens = torch.from_numpy(np.concatenate([prompt, catalog.item_code_rows[row] + FIRST]))[None]
        logits = model(input_ids=tokens).logits[0].double()
        total, node = 0.0, 0
        for level in range(catalog.levels):
            at = logits[len(prompt) - 1 + level]
            token = int(catalog.item_code_rows[row, level]) + FIRST
            legal = range(catalog.child_start[node], catalog.child_start[node + 1])
            rows = [int(catalog.node_code[child]) + FIRST for child in legal if live[child] > 0]
            total += float(at[token] - (at if scoring == "vocab" else at[rows]).logsumexp(0))
            node = catalog.item_path[row, level]
        scores[row] = total
    return scores


@pytest.mark.parametrize("scoring", ["vocab", "codes"])
@pytest.mark.parametrize("blocked", [[], [0, 1, 2, 3, 20]])
def test_wide_beams_find_exactly_the_best_items(model, prompts, catalog, scoring, blocked):
    results = search(model, prompts, catalog, FIRST, num_beams=64, scoring=scoring, blocked=[blocked] * len(prompts))
    for prompt, result in zip(prompts, results, strict=True):
        expected = brute_force(model, prompt, catalog, scoring, blocked)
        assert set(result.rows.tolist()) == set(expected)
        np.testing.assert_allclose(result.scores, [expected[row] for row in result.rows], atol=1e-4)
        assert (np.diff(result.scores) <= 0).all()


@pytest.mark.parametrize(("scoring", "renormalize"), [("vocab", False), ("codes", True)])
@pytest.mark.parametrize("beams", [2, 4, 9])
def test_lists_and_scores_equal_transformers_beam_search(model, prompts, catalog, scoring, renormalize, beams):
    legal = {}
    for codes in catalog.item_code_rows.tolist():
        for depth in range(3):
            legal.setdefault(tuple(codes[:depth]), set()).add(codes[depth] + FIRST)
    results = search(model, prompts, catalog, FIRST, num_beams=beams, scoring=scoring)
    for prompt, result in zip(prompts, results, strict=True):

        def allowed(_, ids, prompt=prompt):
            return sorted(legal[tuple(token - FIRST for token in ids[len(prompt) :].tolist())])

        output = model.generate(
            input_ids=torch.from_numpy(prompt)[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            num_beams=beams,
            num_return_sequences=beams,
            min_new_tokens=3,
            max_new_tokens=3,
            do_sample=False,
            length_penalty=0.0,
            prefix_allowed_tokens_fn=allowed,
            renormalize_logits=renormalize,
            return_dict_in_generate=True,
            output_scores=True,
        )
        found = output.sequences[:, len(prompt) :].numpy() - FIRST - catalog.level_offsets
        np.testing.assert_array_equal(result.codes, found)
        np.testing.assert_allclose(result.code_scores, output.sequences_scores.numpy(), atol=1e-4)


def test_the_margin_is_the_gap_at_the_edge_of_the_beams(model, prompts, catalog):
    narrow = search(model, prompts, catalog, FIRST, num_beams=4)
    assert all(0 <= result.margin < 10 for result in narrow)
    assert all(result.margin == np.inf for result in search(model, prompts, catalog, FIRST, num_beams=64))


def test_the_margin_lies_where_the_scores_are():
    assert _margin(torch.empty(2, 3, device="meta"), keep=5).device.type == "meta"


def test_one_user_gets_the_same_list_alone_and_in_a_batch(model, prompts, catalog):
    together = search(model, prompts, catalog, FIRST, num_beams=8)
    for prompt, expected in zip(prompts, together, strict=True):
        (alone,) = search(model, [prompt], catalog, FIRST, num_beams=8)
        np.testing.assert_array_equal(alone.rows, expected.rows)
        np.testing.assert_allclose(alone.scores, expected.scores, atol=1e-5)


def test_levels_constraint_allows_codes_that_are_no_items(model, prompts, catalog):
    (result,) = search(model, prompts[:1], catalog, FIRST, num_beams=64, constraint="levels")
    assert len(result.codes) == 64
    every = {tuple(c) for c in (catalog.item_code_rows - catalog.level_offsets).tolist()}
    assert [tuple(c) in every for c in result.codes.tolist()] == result.legal.tolist()
    assert not result.legal.all()
    # Its legal beams rank as the trie's do: under `vocab` scoring the constraint changes no score.
    (trie,) = search(model, prompts[:1], catalog, FIRST, num_beams=64)
    both = [code for code in result.codes[result.legal].tolist() if code in trie.codes.tolist()]
    assert both == [code for code in trie.codes.tolist() if code in both]


def test_items_that_share_a_code_come_back_together_in_row_order(model):
    codes = np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1], [2, 0, 1]])
    catalog = build_catalog(codes, SIZES, ["a", "b", "c", "d"])
    (result,) = search(model, [np.array([1, 11])], catalog, FIRST, num_beams=8)
    assert sorted(result.rows.tolist()) == [0, 1, 2, 3]
    assert result.rows.tolist().index(2) == result.rows.tolist().index(0) + 1


@pytest.mark.parametrize("live", [0, 1, 3, 8])
def test_as_many_items_come_back_as_are_live(model, prompts, catalog, live):
    blocked = list(range(catalog.items))[: catalog.items - live]
    (result,) = search(model, prompts[:1], catalog, FIRST, num_beams=5, blocked=[blocked])
    assert len(result.rows) == min(live, 5)
    assert not set(result.rows.tolist()) & set(blocked)


@pytest.mark.parametrize("depth", [2, 3, 5, 6])
def test_every_depth(make_model, make_codes, depth):
    sizes = (3,) * depth
    catalog = build_catalog(make_codes(30, sizes), sizes, [str(row) for row in range(30)])
    model = make_model(FIRST + 3 * depth)
    (result,) = search(model, [np.array([1, 2, 3])], catalog, FIRST, num_beams=40)
    assert sorted(result.rows.tolist()) == list(range(30))


def test_keys_and_values_are_only_ever_appended(model, prompts, catalog, monkeypatch):
    def refuse(*_):
        raise AssertionError("the search reordered its cache")

    for name in ("reorder_cache", "batch_repeat_interleave", "batch_select_indices"):
        monkeypatch.setattr(Cache, name, refuse)
    assert search(model, prompts, catalog, FIRST, num_beams=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "at least 1"),
        ({"constraint": "graph"}, "trie, levels"),
        ({"scoring": "logits"}, "vocab, codes"),
        ({"constraint": "levels", "blocked": [[1]] * 4}, "need the trie"),
        ({"blocked": [[1]]}, "one list a user"),
    ],
)
def test_options_that_make_no_sense_are_refused(model, prompts, catalog, options, message):
    with pytest.raises(SearchError, match=message):
        search(model, prompts, catalog, FIRST, **options)


def test_no_prompt_is_refused(model, catalog):
    for prompts in ([], [np.zeros(0, np.int64)]):
        with pytest.raises(SearchError, match="prompt"):
            search(model, prompts, catalog, FIRST)


def test_all_combinations_are_covered_by_a_full_catalogue(model):
    codes = np.array(list(itertools.product(range(4), repeat=3)))
    catalog = build_catalog(codes, SIZES, [str(row) for row in range(64)])
    (result,) = search(model, [np.array([1, 5, 9])], catalog, FIRST, num_beams=64, scoring="codes")
    assert np.exp(result.scores.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize("constraint", ["trie", "levels"])
def test_scores_that_are_no_numbers_are_refused(model, prompts, catalog, constraint, scoring):
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(SearchError, match="no numbers"):
        search(model, prompts, catalog, FIRST, num_beams=4, constraint=constraint, scoring=scoring)
