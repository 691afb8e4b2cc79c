from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import numpy as np
import pytest

from lcrec.errors import SearchError
from lcrec.evaluate import (
    Ranking,
    Share,
    dataset_catalog,
    evaluate,
    items_ranking,
    last_item_ranker,
    model_ranker,
    popularity_ranker,
    without_seen,
)
from lcrec.search import search


def test_ranks_go_back_to_the_users_order(make_dataset):
    data = make_dataset()
    codes = data.codes.codes
    histories, targets = list(data.split().test_history), data.split().test_target

    def oracle(batch):
        """Put each user's target at a rank that its history's length decides."""
        rankings = []
        for history in batch:
            user = next(i for i, h in enumerate(histories) if h is history)
            others = [row for row in range(60) if (codes[row] != codes[targets[user]]).any()]
            rows = [*others[: len(history)], int(targets[user])]
            rankings.append(Ranking(codes[rows], np.ones(len(rows), bool)))
        return rankings

    found = evaluate(oracle, histories, targets, codes, batch_users=5)
    assert found.ranks.tolist() == [len(history) for history in histories]


def test_items_that_share_a_code_are_one_answer():
    codes = np.array([[1, 1], [1, 1], [2, 0]])
    assert items_ranking(np.array([0, 1, 2]), codes).codes.tolist() == [[1, 1], [2, 0]]


def test_illegal_answers_are_counted_among_the_first_ten():
    legal = np.array([True] * 8 + [False] * 12)
    found = evaluate(
        lambda batch: [Ranking(np.zeros((20, 2)), legal)], [np.array([0])], np.array([0]), np.array([[1, 1]])
    )
    assert found.illegal_rate == pytest.approx(0.2)
    assert found.ranks.tolist() == [-1]


def test_the_models_ranking_is_the_searchs(make_dataset, make_model, make_prompt):
    data, prompt = make_dataset(), make_prompt()
    model, catalog = make_model(30), dataset_catalog(data)
    histories = data.split().test_history[:3]
    rankings = model_ranker(model, prompt, catalog, num_beams=7)(histories)
    for history, ranking in zip(histories, rankings, strict=True):
        (expected,) = search(
            model, [prompt.encode(data.codes.codes[history])], catalog, 10, num_beams=7, scoring="codes"
        )
        np.testing.assert_array_equal(ranking.codes, expected.codes)


def test_what_was_seen_is_left_out_unless_an_unseen_item_shares_its_code():
    codes = np.array([[0, 0], [0, 1], [0, 1], [1, 0], [1, 1]])
    whole = items_ranking(np.array([3, 1, 0, 4]), codes)
    ranker = without_seen(lambda histories: [whole] * len(histories), codes)
    histories = [np.array(rows, np.int32) for rows in ([3], [1], [2, 1, 3, 1], [0, 0])]
    found = [ranking.codes.tolist() for ranking in ranker(histories)]
    assert found == [
        [[0, 1], [0, 0], [1, 1]],
        [[1, 0], [0, 1], [0, 0], [1, 1]],  # item 2 has that code too
        [[0, 0], [1, 1]],
        [[1, 0], [0, 1], [1, 1]],
    ]
    assert all(len(ranking.codes) == len(ranking.legal) for ranking in ranker(histories))


def test_popularity_counts_the_training_part_only(make_dataset):
    data = make_dataset()
    counts = np.zeros(60)
    for sequence in data.sequences:
        np.add.at(counts, sequence[:-2], 1)
    (ranking,) = popularity_ranker(data)([np.array([1])])
    assert ranking.codes[0].tolist() == data.codes.codes[int(np.argmax(counts))].tolist()


def test_last_item_recommends_what_followed(make_dataset):
    data = make_dataset()
    train = next(sequence for sequence in data.split().train if len(sequence) >= 2)
    (ranking,) = last_item_ranker(data)([train[:1]])
    followers = {
        int(after) for sequence in data.split().train for item, after in pairwise(sequence) if item == train[0]
    }
    assert tuple(ranking.codes[0]) in {tuple(data.codes.codes[row]) for row in followers}


def test_the_summary_holds_all_that_is_reported(make_dataset):
    data = make_dataset()
    found = evaluate(
        popularity_ranker(data), data.split().test_history, data.split().test_target, data.codes.codes
    ).summary()
    low, high = found["ndcg@10_interval"]
    assert low <= found["ndcg@10"] <= high
    assert {"hit_rate@1_interval", "hit_rate@5_interval", "ndcg@5_interval"} <= set(found)
    assert found["users"] == 12
    assert found["illegal_rate"] == 0


def in_processes(count, *arguments, **options):
    """Evaluate in `count` threads, each with its share, as processes would; return what each ends with."""
    given, met = [None] * count, Barrier(count)

    def run(number):
        def gather(part):
            given[number] = part
            met.wait()
            return given

        return evaluate(*arguments, **options, share=Share(number, count, gather))

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


@pytest.mark.parametrize("processes", [2, 3, 7, 40])
@pytest.mark.parametrize("users", [1, 2, 5, 12, 31])
def test_no_user_is_dropped_or_counted_twice_however_many_processes(make_dataset, users, processes):
    data = make_dataset(users=users)
    split, asked = data.split(), []

    def ranker(histories):
        asked.extend(histories)
        return [items_ranking(np.array([history.sum() % 60, *range(9)]), data.codes.codes) for history in histories]

    options = {"batch_users": 4}
    whole = evaluate(ranker, split.test_history, split.test_target, data.codes.codes, **options)
    asked.clear()
    for found in in_processes(processes, ranker, split.test_history, split.test_target, data.codes.codes, **options):
        assert found.ranks.tolist() == whole.ranks.tolist()
        assert found.illegal_rate == whole.illegal_rate
    assert len(asked) == users


def test_illegal_answers_may_stand_behind_all_others():
    codes = np.array([[1, 1], [2, 0]])
    ranking = Ranking(np.array([[0, 0], [2, 0], [0, 1], [1, 1]]), np.array([False, True, False, True]))
    for illegal, rank in (("kept", 3), ("last", 1)):
        found = evaluate(lambda batch: [ranking], [np.array([1])], np.array([0]), codes, illegal=illegal)
        assert found.ranks.tolist() == [rank]
        assert found.illegal_rate == 0.5  # of what the search returned


def test_no_users_are_refused():
    with pytest.raises(SearchError, match="no users"):
        evaluate(lambda batch: [], [], np.array([], int), np.array([[1, 1]]))
