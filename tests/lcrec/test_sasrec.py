"""SASRec: it learns what follows, ranks as the protocol asks, and comes back from its folder."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
import torch

from lcrec.dataset import Dataset, Item, ItemCodes
from lcrec.errors import ItemCodesError, ModelError
from lcrec.evaluate import evaluate
from lcrec.sasrec import CARD, SasRec, SasRecRecipe, load_sasrec, sasrec_ranker, save_sasrec, train_sasrec

RECIPE = SasRecRecipe(hidden=16, inner=32, max_items=6, dropout=0.1, learning_rate=1e-2, batch_users=8, epochs=15)


@pytest.fixture
def ring():
    """Users walk round a ring of 12 items: whoever has learned anything knows what comes next."""
    random = np.random.default_rng(0)
    walks = tuple(
        ((start + np.arange(length)) % 12).astype(np.int32)
        for start, length in zip(random.integers(0, 12, 60), random.integers(4, 20, 60), strict=True)
    )
    items = tuple(Item(f"i{row}", f"Item {row}") for row in range(12))
    codes = ItemCodes(np.array([[i // 4, i % 4] for i in range(12)], dtype=np.int32), (3, 4))
    return Dataset("ring", items, tuple(f"u{user}" for user in range(60)), walks, codes)


def test_it_learns_what_follows(ring):
    model, card = train_sasrec(ring, RECIPE, facts={})
    split = ring.split()
    found = evaluate(sasrec_ranker(model, ring), split.test_history, split.test_target, ring.codes.codes)
    assert found.summary()["ndcg@10"] > 0.9
    assert max(card.validation_ndcg_10) > 0.9


def test_the_same_seed_gives_the_same_weights(ring):
    recipe = msgspec.structs.replace(RECIPE, epochs=2)
    one, two = (train_sasrec(ring, recipe, facts={}, seed=3)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_no_position_sees_what_follows():
    torch.manual_seed(0)
    model = SasRec(12, RECIPE).eval()
    rows = torch.randint(0, 12, (3, 6))
    changed = rows.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % 12
    torch.testing.assert_close(model(rows)[:, :4], model(changed)[:, :4])
    assert not torch.allclose(model(rows)[:, 4:], model(changed)[:, 4:])


def test_a_history_is_ranked_alike_alone_and_in_a_batch(ring):
    torch.manual_seed(0)
    ranker = sasrec_ranker(SasRec(12, RECIPE), ring)
    histories = [np.arange(length, dtype=np.int32) for length in (1, 3, 9)]
    for history, together in zip(histories, ranker(histories), strict=True):
        np.testing.assert_array_equal(ranker([history])[0].codes, together.codes)


def test_only_the_last_items_count(ring):
    torch.manual_seed(0)
    ranker = sasrec_ranker(SasRec(12, RECIPE), ring)
    long = np.array([11, 10, 9, 0, 1, 2, 3, 4, 5], dtype=np.int32)
    np.testing.assert_array_equal(ranker([long])[0].codes, ranker([long[-6:]])[0].codes)


def test_the_best_item_is_the_one_of_the_highest_score(ring):
    torch.manual_seed(0)
    model = SasRec(12, RECIPE).eval()
    history = np.array([3, 7, 1], dtype=np.int32)
    scores = model.items.weight[:12] @ model(torch.tensor([[3, 7, 1]]))[0, -1]
    expected = ring.codes.codes[scores.argsort(descending=True).numpy()]
    np.testing.assert_array_equal(sasrec_ranker(model, ring)([history])[0].codes, expected)


def test_the_held_out_items_are_never_learned(ring):
    """The last two steps of every walk jump: were they in the training part, the jumps would be learned."""
    jumps = tuple(np.append(walk[:-2], [0, 0]).astype(np.int32) for walk in ring.sequences)
    data = replace(ring, sequences=jumps)
    model, _ = train_sasrec(data, msgspec.structs.replace(RECIPE, patience=15), facts={})
    followed = {pair for walk in data.split().train for pair in pairwise(walk.tolist())}
    (ranking,) = sasrec_ranker(model, data)([np.array([4, 5, 6], dtype=np.int32)])
    assert (6, 0) not in followed
    assert ranking.codes[0].tolist() != [0, 0]


def test_training_stops_when_validation_stops_gaining(ring):
    lazy = msgspec.structs.replace(RECIPE, learning_rate=1e-12, patience=2, epochs=30)
    assert len(train_sasrec(ring, lazy, facts={})[1].validation_ndcg_10) < 10


def test_it_comes_back_from_its_folder(ring, tmp_path):
    model, card = train_sasrec(ring, msgspec.structs.replace(RECIPE, epochs=1), facts={"name": "ring"})
    save_sasrec(model, card, tmp_path)
    found, read = load_sasrec(tmp_path)
    assert read == card
    history = [np.array([1, 2], dtype=np.int32)]
    np.testing.assert_array_equal(
        sasrec_ranker(found, ring)(history)[0].codes, sasrec_ranker(model, ring)(history)[0].codes
    )


def test_a_damaged_folder_is_refused(ring, tmp_path):
    model, card = train_sasrec(ring, msgspec.structs.replace(RECIPE, epochs=1), facts={})
    save_sasrec(model, card, tmp_path)
    (tmp_path / CARD).write_text('{"items": "many"}')
    with pytest.raises(ModelError, match="no SASRec that can be read"):
        load_sasrec(tmp_path)


def test_another_catalogue_is_refused(ring):
    with pytest.raises(ModelError, match="knows 13 items, ring has 12"):
        sasrec_ranker(SasRec(13, RECIPE), ring)


def test_a_dataset_without_codes_cannot_be_ranked(ring):
    with pytest.raises(ItemCodesError, match="odllm codes"):
        sasrec_ranker(SasRec(12, RECIPE), replace(ring, codes=None))


def test_nothing_to_train_on_is_said(ring):
    short = replace(ring, sequences=tuple(walk[:3] for walk in ring.sequences))
    with pytest.raises(ModelError, match="two items beside the two that are held out"):
        train_sasrec(short, RECIPE, facts={})


def test_heads_that_do_not_divide_are_refused(ring):
    with pytest.raises(ModelError, match="3 heads do not divide"):
        train_sasrec(ring, msgspec.structs.replace(RECIPE, heads=3), facts={})
