"""Leave-one-out evaluation over the full catalogue: one protocol for models, bundles and baselines.

A user is a hit at k when the target's *code* is among the first k distinct codes of the ranked list, as LC-Rec
counts; items that share a code are one answer. Items already seen are not left out, as LC-Rec does it; `without_seen`
leaves them out. docs/evaluation.md compares the protocol with LC-Rec's own code, rule by rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from lcrec import metrics
from lcrec.catalog import Catalog, build_catalog
from lcrec.code_tree import Constraint
from lcrec.dataset import Dataset
from lcrec.errors import SearchError
from lcrec.prompt import Prompt
from lcrec.search import Scoring, search
from odllm_artifact import Progress, silent

Codes = NDArray[np.integer]
Ranker = Callable[[Sequence[NDArray[np.int32]]], list["Ranking"]]
"""Histories of a batch of users (item rows, oldest first) to one ranked list each."""

Illegal = Literal["kept", "last"]
"""Where answers that are no item stand: where the search put them, or behind all others."""


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

    def summary(self) -> dict[str, Any]:
        """Return HR and NDCG at 1, 5 and 10, each with its 95 % interval, the illegal rate and the number of users."""
        return {
            **metrics.summarize(self.ranks),
            **{name: list(interval) for name, interval in metrics.summary_intervals(self.ranks).items()},
            "illegal_rate": self.illegal_rate,
            "users": len(self.ranks),
        }


def _gather_alone(part: Any) -> list[Any]:
    return [part]


@dataclass(frozen=True)
class Share:
    """One process's part of an evaluation that several make together; the default is all of it.

    Attributes:
        number: of this process, from 0.
        processes: how many there are.
        gather: returns what every process gives it, in the order of their numbers, to all of them.
    """

    number: int = 0
    processes: int = 1
    gather: Callable[[Any], list[Any]] = _gather_alone


WHOLE = Share()


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
    illegal: Illegal = "kept",
    share: Share = WHOLE,
    progress: Progress = silent,
) -> Evaluation:
    """Rank every user's target.

    Args:
        ranker: what is evaluated.
        histories: item rows a user, oldest first.
        targets: `[users]` item rows.
        item_codes: `[items, levels]`.
        batch_users: histories given to the ranker at once.
        illegal: where answers that are no item stand when the target's place is counted.
        share: which of the batches this process ranks; every process returns the whole evaluation. Batches are the
            same however many processes there are, and so are the ranks.
        progress: told about finished users of this process.

    Raises:
        SearchError: there are no users.
    """
    if not len(histories):
        raise SearchError("there are no users to evaluate: the split is empty")
    # Users with histories of similar length share a batch: less padding. Ranks go back to the users' order.
    order = np.argsort([len(history) for history in histories], kind="stable")
    batches = [order[start : start + batch_users] for start in range(0, len(order), batch_users)]
    mine = batches[share.number :: share.processes]
    found, total = _Tally.empty(len(histories)), sum(map(len, mine))
    for users in mine:
        for user, ranking in zip(users, ranker([histories[user] for user in users]), strict=True):
            found.add(user, item_codes[targets[user]], ranking, illegal)
        progress(found.ranked, total)
    return _Tally.merged(share.gather(found)).evaluation()


@dataclass
class _Tally:
    """What one process has found: ranks of its users, and how many of the first ten answers were no item."""

    ranks: NDArray[np.int64]
    done: NDArray[np.int64]
    illegal: int = 0
    answers: int = 0

    @classmethod
    def empty(cls, users: int) -> _Tally:
        return cls(np.zeros(users, dtype=np.int64), np.zeros(users, dtype=np.int64))

    @classmethod
    def merged(cls, parts: Sequence[_Tally]) -> _Tally:
        return cls(
            np.sum([part.ranks * part.done for part in parts], axis=0),
            np.sum([part.done for part in parts], axis=0),
            sum(part.illegal for part in parts),
            sum(part.answers for part in parts),
        )

    @property
    def ranked(self) -> int:
        return int(self.done.sum())

    def add(self, user: int, target: Codes, ranking: Ranking, illegal: Illegal) -> None:
        first = ranking.legal[:10]
        self.illegal += int((~first).sum())
        self.answers += len(first)
        codes = ranking.codes
        if illegal == "last":
            codes = np.concatenate([codes[ranking.legal], codes[~ranking.legal]])
        self.ranks[user] = metrics.rank_of(target, codes)
        self.done[user] += 1

    def evaluation(self) -> Evaluation:
        """Return the whole; a user that nobody or two have ranked would be a defect of the shares."""
        assert (self.done == 1).all(), f"users ranked {np.unique(self.done)} times"
        return Evaluation(self.ranks, self.illegal / max(self.answers, 1))


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
