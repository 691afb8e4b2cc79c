"""Item vectors for building codes: what an item is about, joined with which items it is used with.

Content is TF-IDF over title and text; use is the positive pointwise mutual information (PPMI) of items that
stand near each other in users' TRAINING sequences. Both are cut to a few dimensions by a truncated SVD, scaled
to unit length and joined by weight. The two held-out items of a user are never looked at: codes that knew them
would leak the answers into the model.

Source: Levy, Goldberg, Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word
Embeddings" (PPMI with a smoothed context, SVD with square-rooted singular values); Pantel, Lin 2002 (discount of
rare pairs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.items import Int32

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class VectorConfig:
    """How item vectors are made.

    The defaults did best on MovieLens' validation items: of the ways tried (weights 0 to 0.5, 16 to 128
    dimensions, windows 5 to 50), the vectors rebuilt from four levels of codes found the next item most often
    among the 50 nearest to a user's last ten. More content makes codes that read better and predict worse.

    Attributes:
        content_weight: share of content in the squared length of a joined vector, 0 to 1; the rest is use.
        dimensions: of each of the two parts.
        window: items up to this many places apart in a sequence count as used together, weighted 1 ÷ distance.
        context_power: context frequencies are raised to it, which takes the edge off rare items.
    """

    content_weight: float = 0.2
    dimensions: int = 64
    window: int = 10
    context_power: float = 0.75


def item_vectors(dataset: Dataset, config: VectorConfig, seed: int) -> Float32:
    """Return float32 `[items, up to 2·dimensions]` vectors of unit length (zero for items nothing is known of).

    An item that has only one of the two parts is described by that one alone.
    """
    content = content_vectors(dataset, config.dimensions, seed)
    use = use_vectors(dataset.split().train, len(dataset.items), config, seed)
    joined = np.hstack([content * config.content_weight**0.5, use * (1 - config.content_weight) ** 0.5])
    return _unit_rows(joined)


def content_vectors(dataset: Dataset, dimensions: int, seed: int) -> Float32:
    """Return float32 `[items, up to dimensions]` unit vectors of the items' titles and texts.

    Words that only one item has say nothing about its neighbours and are left out.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [f"{item.title} {item.text}" for item in dataset.items]
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, token_pattern=r"(?u)\b\w[\w-]*\b")
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError:  # no word occurs in two items: there is no content to compare
        return np.zeros((len(texts), 0), dtype=np.float32)
    return _truncated_svd(weights, dimensions, seed, power=1.0)


def use_vectors(train: Sequence[Int32], items: int, config: VectorConfig, seed: int) -> Float32:
    """Return float32 `[items, up to dimensions]` unit vectors of which items occur near which.

    Args:
        train: item rows of each user, WITHOUT the held-out ones.
        items: how many items there are.
        config: window, context power, dimensions.
        seed: of the randomised SVD.
    """
    counts = _near_counts(train, items, config.window)
    information = _positive_information(counts, config.context_power)
    if not information.nnz:
        return np.zeros((items, 0), dtype=np.float32)
    return _truncated_svd(information, config.dimensions, seed, power=0.5)


def _near_counts(train: Sequence[Int32], items: int, window: int) -> csr_matrix:
    """Return symmetric `[items, items]` counts of pairs within `window` places, each weighted 1 ÷ distance."""
    from scipy.sparse import csr_matrix

    rows = np.concatenate([np.empty(0, np.int32), *train])
    users = np.repeat(np.arange(len(train)), [len(sequence) for sequence in train])
    counts = csr_matrix((items, items))
    for distance in range(1, window + 1):
        pair = users[distance:] == users[:-distance]
        pair &= rows[distance:] != rows[:-distance]  # an item is no neighbour of its own
        first, second = rows[:-distance][pair], rows[distance:][pair]
        weights = np.full(len(first), 1.0 / distance)
        counts = counts + csr_matrix((weights, (first, second)), shape=(items, items))
    return (counts + counts.T).tocsr()


def _positive_information(counts: csr_matrix, context_power: float) -> csr_matrix:
    """Return the PPMI of every pair, discounted where the pair or one of its items is rare."""
    from scipy.sparse import csr_matrix

    pairs = counts.tocoo()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    context = totals**context_power / max((totals**context_power).sum(), 1e-300)
    information = np.log(pairs.data / (totals[pairs.row] * context[pairs.col]))
    rarer = np.minimum(totals[pairs.row], totals[pairs.col])
    information *= pairs.data / (pairs.data + 1) * rarer / (rarer + 1)
    kept = information > 0
    return csr_matrix((information[kept], (pairs.row[kept], pairs.col[kept])), shape=counts.shape)


def _truncated_svd(matrix: csr_matrix, dimensions: int, seed: int, power: float) -> Float32:
    """Return the unit rows of U·S^power, `[rows, up to dimensions]`, directions without energy left out."""
    if min(matrix.shape) <= dimensions:  # few words or items: exact, and the randomised one refuses a single column
        left, singular_values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
        scores = left * singular_values
    else:
        from sklearn.decomposition import TruncatedSVD

        svd = TruncatedSVD(dimensions, random_state=seed, n_iter=7)
        scores, singular_values = svd.fit_transform(matrix), svd.singular_values_  # U·S
    real = singular_values > 1e-6 * singular_values.max(initial=0.0)
    return _unit_rows(scores[:, real] * singular_values[real] ** (power - 1))


def _unit_rows(vectors: NDArray[np.floating]) -> Float32:
    """Scale every row to length one; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 1e-9, lengths, 1.0)).astype(np.float32)
