"""HR and NDCG of exactly the run that was measured: test users asked by the measuring process itself.

The same protocol as `odllm evaluate`: leave-one-out, a target counts by its code, seen items may come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lcrec import metrics
from lcrec.dataset import load_dataset
from mobile_bench.errors import BenchError
from mobile_bench.record import Quality
from odllm_export.bundle import read_items


class HeldOut(NamedTuple):
    """A user's history and the item that came next, as item rows."""

    history: list[int]
    target: int


@dataclass(frozen=True)
class HeldOutUsers:
    """Users whose last item is asked for.

    Attributes:
        dataset: its name.
        histories: item ids, oldest first, without the last item.
        targets: that item.
    """

    dataset: str
    histories: list[list[str]]
    targets: list[str]

    def cases(self, bundle: Path) -> list[HeldOut]:
        """Return the users as a bundle's item rows.

        Raises:
            BenchError: the bundle does not know an item.
        """
        rows = {item["id"]: row for row, item in enumerate(read_items(bundle))}
        try:
            return [
                HeldOut([rows[item] for item in history], rows[target])
                for history, target in zip(self.histories, self.targets, strict=True)
            ]
        except KeyError as error:
            raise BenchError(
                f"{bundle} does not know item {error.args[0]!r} of dataset {self.dataset!r}. Give the dataset that it "
                "was made from."
            ) from None


def choose_users(folder: Path, users: int, seed: int = 0) -> HeldOutUsers:
    """Draw test users of a dataset folder; all of them where there are fewer.

    Raises:
        LcrecError: the dataset is damaged.
    """
    dataset = load_dataset(folder)
    split, ids = dataset.split(), dataset.item_ids
    chosen = np.sort(np.random.default_rng(seed).permutation(len(dataset.users))[:users])
    return HeldOutUsers(
        dataset=dataset.name,
        histories=[[ids[row] for row in split.test_history[user]] for user in chosen],
        targets=[ids[split.test_target[user]] for user in chosen],
    )


def summarize(dataset: str, ranks: Sequence[int]) -> Quality:
    """Return what a record says about ranks."""
    places = np.asarray(ranks)
    gains = metrics.ndcg(places, 10)
    low, high = metrics.bootstrap_interval(gains)
    return Quality(
        dataset=dataset,
        users=len(places),
        hit_rate_10=float(metrics.hit_rate(places, 10).mean()),
        ndcg_10=float(gains.mean()),
        ndcg_10_low=low,
        ndcg_10_high=high,
        ranks=list(ranks),
    )
