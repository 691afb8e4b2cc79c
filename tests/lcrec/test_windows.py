import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcrec.prompt import Prompt
from lcrec.windows import batch_windows, cut_windows, encode_window, thinned, training_batches


@given(st.lists(st.integers(2, 60), min_size=1, max_size=8), st.integers(1, 12), st.integers(0, 99))
def test_windows_hold_every_item_once_and_never_more_than_fit(lengths, max_items, seed):
    sequences, start = [], 0
    for length in lengths:
        sequences.append(np.arange(start, start + length, dtype=np.int32))
        start += length
    windows = cut_windows(sequences, max_items, np.random.default_rng(seed))
    assert all(2 <= len(window) <= max_items + 1 for window in windows)
    assert all((np.diff(window) == 1).all() for window in windows)
    joined = np.concatenate(windows)
    assert len(np.unique(joined)) == len(joined)


def test_short_sequences_stay_whole():
    (window,) = cut_windows([np.array([4, 5, 6], np.int32)], 20, np.random.default_rng(0))
    assert window.tolist() == [4, 5, 6]


def test_a_window_is_the_prompt_of_its_history_and_the_last_items_codes(make_prompt, make_codes):
    prompt, codes = make_prompt(), make_codes(60, (4, 4, 4))
    window = np.array([3, 9, 27], np.int32)
    tokens = encode_window(window, codes, prompt)
    np.testing.assert_array_equal(tokens[:-3], prompt.encode(codes[window[:-1]]))
    np.testing.assert_array_equal(tokens[-3:], prompt.code_tokens(codes[27]))


def test_only_codes_carry_loss_and_padding_none(make_prompt, make_codes):
    prompt, codes = make_prompt(), make_codes(60, (4, 4, 4))
    (batch,) = batch_windows([np.array([1, 2], np.int32), np.array([3, 4, 5, 6], np.int32)], codes, prompt, 8)
    assert batch.predicted.sum(axis=1).tolist() == [6, 12]
    assert (batch.real | ~batch.predicted).all()
    assert batch.real.sum(axis=1).tolist() == [len(encode_window(np.arange(n), codes, prompt)) for n in (2, 4)]


def test_held_out_items_are_in_no_batch(make_dataset):
    data = make_dataset(items=500, users=40)
    # Codes that name the item: then a token says which item was seen.
    prompt = Prompt((1,), (), (), 20, (500, 2), 10)
    codes = np.stack([np.arange(500), np.zeros(500)], axis=1).astype(np.int32)
    from dataclasses import replace

    from lcrec.dataset import ItemCodes

    data = replace(data, codes=ItemCodes(codes, (500, 2)))
    seen = {
        int(token) - 10
        for batch in training_batches(data, prompt, 8, seed=0)
        for token in batch.ids[batch.real]
        if 10 <= token < 510
    }
    trained = {int(row) for sequence in data.split().train for row in sequence}
    assert seen <= trained


@pytest.mark.parametrize("seed", [0, 1])
def test_batches_are_repeatable_by_seed(make_dataset, make_prompt, seed):
    one, two = (training_batches(make_dataset(), make_prompt(), 4, seed=seed) for _ in range(2))
    assert all((a.ids == b.ids).all() for a, b in zip(one, two, strict=True))


def test_thinned_windows_keep_order_and_two_items():
    random = np.random.default_rng(0)
    windows = [np.arange(n, dtype=np.int32) for n in (2, 3, 21) for _ in range(50)]
    thin = thinned(windows, 0.4, random)
    for window, short in zip(windows, thin, strict=True):
        assert 2 <= len(short) <= len(window)
        assert (np.diff(short) > 0).all()
    assert 11 < np.mean([len(short) for short in thin[100:]]) < 14.2
    assert len({tuple(short) for short in thin[100:]}) > 45


def test_batches_with_items_left_out_are_shorter(make_dataset, make_prompt):
    whole, thin = (training_batches(make_dataset(), make_prompt(), 4, seed=0, left_out=share) for share in (0.0, 0.5))
    assert sum(batch.predicted.sum() for batch in thin) < 0.8 * sum(batch.predicted.sum() for batch in whole)
