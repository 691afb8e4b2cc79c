from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lcrec.histories import Histories

lists = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6)


def made(histories):
    return Histories.of(np.array(one, dtype=np.int32) for one in histories)


def as_lists(histories):
    return [one.tolist() for one in histories]


@given(lists)
def test_histories_read_as_the_arrays_they_were_made_of(histories):
    one = made(histories)
    assert as_lists(one) == histories
    assert one.joined().tolist() == list(chain(*histories))
    assert one.joined().dtype == np.int32
    assert one.lengths.tolist() == [len(history) for history in histories]


@given(lists, st.integers(0, 4), st.slices(6))
def test_parts_of_histories_are_parts_of_the_lists(histories, count, part):
    cut = [history[: max(len(history) - count, 0)] for history in histories]
    shorter = made(histories).without_last(count)
    assert as_lists(shorter) == cut
    assert as_lists(shorter[part]) == cut[part]
    assert shorter[part].joined().tolist() == list(chain(*cut[part]))


def test_histories_are_views():
    one = made([[1, 2, 3], [4, 5]])
    assert all(np.shares_memory(history, one.rows) for history in one.without_last(1))
    assert one.last().tolist() == [3, 5]
    assert one.last(2).tolist() == [2, 4]
    assert one[-1].tolist() == [4, 5]


def test_histories_of_histories_are_the_same():
    one = made([[1]])
    assert Histories.of(one) is one


def test_histories_join_as_arrays_do():
    assert np.concatenate(made([[1, 2], [3]])).tolist() == [1, 2, 3]
