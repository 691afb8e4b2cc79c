import numpy as np

from lcrec.catalog import build_catalog
from lcrec.legal_codes import legal_next_codes
from lcrec.prompt import Prompt
from lcrec.windows import batch_windows

SIZES = (5, 4, 6)


def by_hand(codes, history, prefix, separator):
    """Legal code rows behind every token of a prompt, walked item by item."""
    offsets = np.cumsum((0, *SIZES[:-1]))
    tokens = [set()] * (prefix - 1)
    for number, item in enumerate(history):
        tokens += [set()] * (separator if number else 0)
        for depth in range(len(SIZES)):
            alike = codes[(codes[:, :depth] == item[:depth]).all(axis=1)]
            tokens.append({int(code) + int(offsets[depth]) for code in alike[:, depth]})
    return [*tokens, set()]


def test_what_follows_is_what_the_catalogue_has_below_the_codes_so_far():
    random = np.random.default_rng(0)
    codes = random.integers(0, SIZES, size=(30, 3))
    catalog = build_catalog(codes, SIZES, [str(i) for i in range(30)])
    for separator in ((), (7,)):
        prompt = Prompt((1, 2), separator, (), 6, SIZES, first_code_token=10)
        windows = [random.integers(0, 30, size=size).astype(np.int32) for size in (2, 5, 3)]
        (batch,) = batch_windows(windows, codes, prompt, 3)
        allowed = legal_next_codes(catalog, prompt, batch.ids, batch.real)
        for row, window in enumerate(windows):
            # The last item stands behind the prompt without a separator, as the model writes it.
            expected = by_hand(codes, codes[window[:-1]], 2, len(separator))[:-1]
            expected += by_hand(codes, codes[window[-1:]], 1, 0)
            found = [set(np.flatnonzero(allowed[row, i]).tolist()) for i in range(allowed.shape[1])]
            assert found[: len(expected)] == expected
            assert not any(found[len(expected) :])


def test_nothing_is_legal_inside_an_item_that_does_not_exist():
    catalog = build_catalog(np.array([[0, 1, 2], [0, 1, 3]]), SIZES, ["a", "b"])
    prompt = Prompt((1,), (), (), 6, SIZES, first_code_token=10)
    ids = np.array([[1, *prompt.code_tokens(np.array([0, 2, 2])).tolist()]])
    allowed = legal_next_codes(catalog, prompt, ids, np.ones_like(ids, dtype=bool))
    assert [np.flatnonzero(row).tolist() for row in allowed[0]] == [[0], [6], [], []]
