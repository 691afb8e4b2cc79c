"""Caches: a call that continues another one returns what it would return alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from odllm_export.errors import BundleError, HistoryError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender


@pytest.fixture
def open_bundle(make_model_folder, make_dataset, make_prompt, tmp_path):
    def open_one(prompt_words=None, **options):
        folder, _ = make_model_folder(prompt=make_prompt(**(prompt_words or {})))
        export_bundle(folder, make_dataset(), tmp_path / "bundle", ExportOptions(num_beams=12, **options))
        return Recommender.open(tmp_path / "bundle")

    return open_one


def histories(length, seed=0):
    rows = np.random.default_rng(seed).integers(0, 60, length)
    return [rows[:n].astype(np.int64) for n in range(1, length + 1)]


def assert_same(found, expected, tolerance=1e-5):
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=tolerance)


@pytest.mark.parametrize("words", [{}, {"separator": ()}, {"suffix": ()}, {"separator": (), "suffix": ()}], ids=str)
@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize("prefix_cache", [True, False])
def test_growing_and_sliding_histories(open_bundle, words, scoring, prefix_cache):
    recommender = open_bundle(words, scoring=scoring, prefix_cache=prefix_cache)
    session = recommender.session()
    for history in histories(9):  # the window holds five
        assert_same(session.recommend_rows(history), recommender.recommend_rows(history))


@pytest.mark.parametrize("precision", ["int8-dynamic", "int4-block32", "int8-block32"])
def test_rounded_bundles_too(open_bundle, precision):
    recommender = open_bundle(precision=precision)
    session = recommender.session()
    for history in histories(5):
        assert_same(session.recommend_rows(history), recommender.recommend_rows(history), tolerance=1e-3)


def test_only_what_is_new_is_run(open_bundle):
    recommender = open_bundle()
    session, prompt = recommender.session(), recommender.manifest.prompt
    reused = []
    for history in histories(7):
        session.recommend_rows(history)
        reused.append(session.reused_tokens)
    # prefix 2, item 3, separator 1: one more item continues behind the last; a window that slid begins anew
    assert reused == [0, *(prompt.reusable(n) for n in (1, 2, 3, 4)), 0, 0]


def test_asking_the_same_again_a_shorter_one_and_another_one(open_bundle):
    recommender = open_bundle()
    session = recommender.session()
    for history in ([1, 2, 3], [1, 2, 3], [1, 2], [1, 2, 9, 4], [7], [1, 2, 9, 4]):
        rows = np.array(history, np.int64)
        assert_same(session.recommend_rows(rows), recommender.recommend_rows(rows))


def test_blocked_items_do_not_stick_to_the_session(open_bundle):
    recommender = open_bundle()
    session = recommender.session()
    free = session.recommend(["i1", "i2"])
    names = {one.item_id for one in free[:3]}
    assert not names & {one.item_id for one in session.recommend(["i1", "i2"], blocked=names)}
    assert [one.item_id for one in session.recommend(["i1", "i2"])] == [one.item_id for one in free]


def test_seen_items_are_left_out_also_before_the_window(open_bundle):
    recommender = open_bundle()
    seen = [f"i{row}" for row in range(50)]
    for ask in (recommender, recommender.session()):
        found = ask.recommend(seen, exclude_seen=True)
        assert {one.item_id for one in found} == {f"i{row}" for row in range(50, 60)}


def test_fewer_items_come_back_only_when_fewer_are_live(open_bundle):
    recommender = open_bundle()
    blocked = [f"i{row}" for row in range(57)]
    assert len(recommender.recommend(["i58"], top_k=10, blocked=blocked)) == 3


def test_an_empty_history_leaves_the_session_as_it_was(open_bundle):
    recommender = open_bundle()
    session = recommender.session()
    expected = session.recommend(["i1", "i2"])
    with pytest.raises(HistoryError, match="empty"):
        session.recommend([])
    assert [one.item_id for one in session.recommend(["i1", "i2"])] == [one.item_id for one in expected]


def test_threads_share_a_recommender_and_a_session(open_bundle):
    recommender = open_bundle()
    session = recommender.session()
    questions = [history for seed in range(4) for history in histories(6, seed)]
    expected = [recommender.recommend_rows(history) for history in questions]
    with ThreadPoolExecutor(4) as pool:
        for ask in (recommender, session):
            for found, alone in zip(pool.map(ask.recommend_rows, questions), expected, strict=True):
                assert_same(found, alone)


def test_a_closed_recommender_says_so(open_bundle):
    with open_bundle() as recommender:
        recommender.recommend(["i1"])
    with pytest.raises(BundleError, match="closed"):
        recommender.recommend(["i1"])


def test_the_prefix_is_stored_and_counted(open_bundle):
    recommender = open_bundle()
    assert recommender.manifest.graph.prefix_tokens == 2
    assert recommender.manifest.graph.kv_cache == [2, 2, 2, 8]
