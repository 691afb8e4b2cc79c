"""Training sequences: windows of users' histories as token batches, for training, calibration and recovery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.prompt import Prompt


@dataclass(frozen=True)
class TokenBatch:
    """Right-padded token ids `[windows, tokens]`, their mask, and where a code token is to be predicted.

    Attributes:
        ids: int64.
        real: bool, false on padding.
        predicted: bool, true where the token is a code: the positions that carry loss.
    """

    ids: NDArray[np.int64]
    real: NDArray[np.bool_]
    predicted: NDArray[np.bool_]


def cut_windows(
    sequences: Sequence[NDArray[np.int32]], max_items: int, random: np.random.Generator
) -> list[NDArray[np.int32]]:
    """Cut every user's sequence into windows of at most `max_items + 1` items, every item once.

    The first cut is random, so that over epochs an item is met at every distance from the prompt's beginning.
    Windows of a single item have nothing to predict from and are joined to the following one where there is one.
    """
    return [window for sequence in sequences for window in _cut(sequence, max_items + 1, random)]


def training_windows(dataset: Dataset, max_items: int, random: np.random.Generator) -> list[list[NDArray[np.int32]]]:
    """Return the windows of every user's training part, a list a user.

    Training, calibration and recovery all get their sequences here, so that none can meet a held-out item.
    """
    return [_cut(sequence, max_items + 1, random) for sequence in dataset.split().train]


def _cut(sequence: NDArray[np.int32], size: int, random: np.random.Generator) -> list[NDArray[np.int32]]:
    if len(sequence) < 2:
        return []
    shift = int(random.integers(0, size)) if len(sequence) > size else 0
    cuts = [cut for cut in range(shift, len(sequence), size) if 2 <= cut <= len(sequence) - 2]
    return [part[-size:] for part in np.split(sequence, cuts)]


def thinned(windows: Sequence[NDArray[np.int32]], share: float, random: np.random.Generator) -> list[NDArray[np.int32]]:
    """Return the windows without a random `share` of their items, but with two of each at least.

    A history with gaps is as plausible as the whole one, and a model has not memorized how it goes on.
    """
    thin = [window[random.random(len(window)) >= share] for window in windows]
    return [short if len(short) >= 2 else window[-2:] for short, window in zip(thin, windows, strict=True)]


def encode_window(window: NDArray[np.int32], item_codes: NDArray[np.integer], prompt: Prompt) -> NDArray[np.int64]:
    """Return the tokens of a window: the prompt of all items but the last, then the last item's codes."""
    codes = item_codes[window]
    return np.concatenate([prompt.encode(codes[:-1]), prompt.code_tokens(codes[-1])])


def batch_windows(
    windows: Sequence[NDArray[np.int32]], item_codes: NDArray[np.integer], prompt: Prompt, size: int
) -> list[TokenBatch]:
    """Return token batches of `size` windows, in the order given."""
    batches = []
    for start in range(0, len(windows), size):
        rows = [encode_window(window, item_codes, prompt) for window in windows[start : start + size]]
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        real = np.zeros(ids.shape, dtype=bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            real[i, : len(row)] = True
        is_code = (ids >= prompt.first_code_token) & (ids < prompt.first_code_token + prompt.code_rows)
        batches.append(TokenBatch(ids, real, is_code & real))
    return batches


def training_batches(
    dataset: Dataset,
    prompt: Prompt,
    size: int,
    *,
    seed: int,
    max_windows: int | None = None,
    left_out: float = 0.0,
) -> list[TokenBatch]:
    """Return shuffled batches of windows of the users' training parts; the two held-out items are never in them.

    Args:
        dataset: with item codes.
        prompt: the recommender's.
        size: windows a batch.
        seed: of cuts, draw and order.
        max_windows: so many at most, drawn alike.
        left_out: share of the items that are left out, at random (`thinned`).
    """
    random = np.random.default_rng(seed)
    windows = [window for user in training_windows(dataset, prompt.max_items, random) for window in user]
    if left_out:
        windows = thinned(windows, left_out, random)
    chosen = random.permutation(len(windows))[:max_windows]
    # Similar lengths share a batch, whole batches are shuffled: little padding, little order.
    pools = [chosen[i : i + 16 * size] for i in range(0, len(chosen), 16 * size)]
    ordered = [i for pool in pools for i in sorted(pool, key=lambda i: len(windows[i]))]
    batches = batch_windows([windows[i] for i in ordered], dataset.require_codes().codes, prompt, size)
    return [batches[i] for i in random.permutation(len(batches))]
