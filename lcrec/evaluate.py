"""Leave-one-out evaluation over the full catalogue: one protocol for models, bundles and baselines.

A user is a hit at k when the target's *code* is among the first k distinct codes of the ranked list, as LC-Rec
counts; items that share a code are one answer. Items already seen are not left out, as LC-Rec does it; `without_seen`
leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from lcrec import metrics
from lcrec.catalog import Catalog, build_catalog
from lcrec.dataset import Dataset
from lcrec.prompt import Prompt
from lcrec.search import Constraint, Scoring, search
from odllm_artifact import Progress, silent

Codes = NDArray[np.integer]
Ranker = Callable[[Sequence[NDArray[np.int32]]], list["Ranking"]]
"""Histories of a batch of users (item rows, oldest first) to one ranked list each."""


@dataclass(frozen=True)
class Ranking:
    """A ranked list: distinct `codes [answers, levels]`, best first, and whether each is an item's (`legal`)."""

    codes: Codes
    legal: NDArray[np.bool_]


@dataclass(frozen=True)
class Evaluation:
    """Where every user's target came out.

    Attributes:
        ranks: `[users]` 0-based, `metrics.NOT_FOUND` where the target was not returned.
        illegal_rate: share of the first ten answers that are no item's code.
    """

    ranks: NDArray[np.int64]
    illegal_rate: float

    def summary(self) -> dict[str, float | list[float]]:
        """Return HR and NDCG at 1, 5 and 10 with 95 % intervals for NDCG@10 and HR@10, and the illegal rate."""
        rows: dict[str, float | list[float]] = dict(metrics.summarize(self.ranks))
        rows["hit_rate@10_interval"] = list(metrics.bootstrap_interval(metrics.hit_rate(self.ranks, 10)))
        rows["ndcg@10_interval"] = list(metrics.bootstrap_interval(metrics.ndcg(self.ranks, 10)))
        rows["illegal_rate"] = self.illegal_rate
        rows["users"] = len(self.ranks)
        return rows


def dataset_catalog(dataset: Dataset) -> Catalog:
    """Return the catalogue of a dataset.

    Raises:
        ItemCodesError: the dataset has no codes yet.
    """
    codes = dataset.require_codes()
    return build_catalog(codes.codes, codes.sizes, dataset.item_ids)


def evaluate(
    ranker: Ranker,
    histories: Sequence[NDArray[np.int32]],
    targets: NDArray[np.integer],
    item_codes: Codes,
    *,
    batch_users: int = 64,
    progress: Progress = silent,
) -> Evaluation:
    """Rank every user's target.

    Args:
        ranker: what is evaluated.
        histories: item rows a user, oldest first.
        targets: `[users]` item rows.
        item_codes: `[items, levels]`.
        batch_users: histories given to the ranker at once.
        progress: told about finished users.
    """
    # Users with histories of similar length share a batch: less padding. Ranks go back to the users' order.
    order = np.argsort([len(history) for history in histories], kind="stable")
    ranks = np.empty(len(histories), dtype=np.int64)
    illegal = answers = 0
    for start in range(0, len(order), batch_users):
        users = order[start : start + batch_users]
        for user, ranking in zip(users, ranker([histories[user] for user in users]), strict=True):
            ranks[user] = metrics.rank_of(item_codes[targets[user]], ranking.codes)
            illegal += int((~ranking.legal[:10]).sum())
            answers += len(ranking.legal[:10])
        progress(start + len(users), len(order))
    return Evaluation(ranks, illegal / max(answers, 1))


def model_ranker(
    model: PreTrainedModel,
    prompt: Prompt,
    catalog: Catalog,
    *,
    num_beams: int = 20,
    constraint: Constraint = "trie",
    scoring: Scoring = "codes",
) -> Ranker:
    """Return the ranker of a torch model."""
    item_codes = catalog.item_code_rows - catalog.level_offsets

    def rank(histories: Sequence[NDArray[np.int32]]) -> list[Ranking]:
        prompts = [prompt.encode(item_codes[history]) for history in histories]
        found = search(
            model,
            prompts,
            catalog,
            prompt.first_code_token,
            num_beams=num_beams,
            constraint=constraint,
            scoring=scoring,
        )
        return [Ranking(result.codes, result.legal) for result in found]

    return rank


def items_ranking(rows: NDArray[np.integer], item_codes: Codes) -> Ranking:
    """Return the ranking of a list of items: their codes, each once, in order."""
    codes = metrics.distinct_codes(rows, item_codes)
    return Ranking(codes, np.ones(len(codes), dtype=bool))


def without_seen(ranker: Ranker, item_codes: Codes) -> Ranker:
    """Return a ranker whose lists leave out what is in the history: codes of which every item is.

    Its lists are shorter by that, so the inner ones have to be longer than what is looked at.
    """
    _, code_of, items = np.unique(item_codes, axis=0, return_inverse=True, return_counts=True)
    code_of = code_of.reshape(-1)  # numpy 2.0 gives it another shape

    def rank(histories: Sequence[NDArray[np.int32]]) -> list[Ranking]:
        rankings = []
        for history, ranking in zip(histories, ranker(histories), strict=True):
            seen, first, times = np.unique(code_of[np.unique(history)], return_index=True, return_counts=True)
            codes = item_codes[np.unique(history)[first[times == items[seen]]]]  # nothing unseen shares them
            kept = ~(ranking.codes[:, None] == codes).all(axis=2).any(axis=1)
            rankings.append(Ranking(ranking.codes[kept], ranking.legal[kept]))
        return rankings

    return rank


def popularity_ranker(dataset: Dataset, keep: int = 50) -> Ranker:
    """Return the same list for everyone: the items that occur most in the training part."""
    codes = dataset.require_codes().codes
    ranking = items_ranking(np.argsort(-dataset.popularity(), kind="stable")[:keep], codes)
    return lambda histories: [ranking] * len(histories)


def last_item_ranker(dataset: Dataset, keep: int = 50) -> Ranker:
    """Return what most often followed a user's last item in the training part, popular items behind it."""
    codes = dataset.require_codes().codes
    popular = np.argsort(-dataset.popularity(), kind="stable")[:keep]
    followers: dict[int, dict[int, int]] = {}
    for sequence in dataset.split().train:
        for item, after in zip(sequence[:-1].tolist(), sequence[1:].tolist(), strict=True):
            counts = followers.setdefault(item, {})
            counts[after] = counts.get(after, 0) + 1

    def rank(histories: Sequence[NDArray[np.int32]]) -> list[Ranking]:
        rankings = []
        for history in histories:
            counts = followers.get(int(history[-1]), {})
            best = sorted(counts, key=lambda row: -counts[row])[:keep]
            rankings.append(items_ranking(np.array([*best, *popular], dtype=np.int64), codes))
        return rankings

    return rank
