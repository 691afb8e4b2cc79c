"""The items whose titles are nearest to new titles: where a new item's codes can come from.

Titles are compared by the cosine of their TF-IDF vectors over character trigrams, a space before and behind each
word: whole short words, parts of long ones, and misspelt ones count, rare ones most. The trigrams are cut out of
all titles at once, as bytes of one long text, so that a million titles take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_BUCKETS = 1 << 18
"""Columns that trigrams are hashed to: far more than the trigrams that titles of one language use."""


def nearest_titles(titles: Sequence[str], new_titles: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the row of the nearest title for each new one, and how near it is.

    Args:
        titles: of the items that are known, by row.
        new_titles: to find neighbours for.

    Returns:
        `[new_titles]` rows, the first of equally near ones, and `[new_titles]` cosines from 0 (no trigram in
        common) to 1.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    weights = TfidfTransformer(sublinear_tf=True)
    known = _trigram_counts(titles)
    known = weights.fit(known).transform(known, copy=False)
    wanted = weights.transform(_trigram_counts(new_titles), copy=False)
    rows, cosines = np.zeros(len(new_titles), np.int64), np.zeros(len(new_titles), np.float32)
    for number in range(len(new_titles)):
        likeness = known @ wanted[number].toarray().ravel()  # [titles]
        rows[number] = likeness.argmax()
        cosines[number] = min(likeness[rows[number]], 1)
    return rows, cosines


def _trigram_counts(titles: Sequence[str]) -> csr_matrix:
    """Return float32 `[titles, _BUCKETS]` how often each trigram of UTF-8 bytes stands in each title."""
    from scipy.sparse import csr_matrix

    text = [f" {' '.join(title.casefold().split())} ".encode(errors="replace") for title in titles]
    ends = np.cumsum([len(one) for one in text], dtype=np.int64)
    letters = np.frombuffer(b"".join(text) + b"  ", dtype=np.uint8).astype(np.uint32)
    first, second, third = letters[:-2], letters[1:-1], letters[2:]
    space = ord(" ")
    within = ((first != space) | (second != space)) & ((second != space) | (third != space))  # not from two titles
    trigrams = first << 16 | second << 8 | third
    trigrams = (trigrams * np.uint32(2654435761)) >> np.uint32(14)  # Knuth's multiplicative hash, 18 bits
    counts = csr_matrix(
        (within.astype(np.float32), trigrams.astype(np.int32), np.concatenate([[0], ends])),
        shape=(len(titles), _BUCKETS),
    )
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts
