from pathlib import Path

import numpy as np
import pytest

from lcrec.dataset import Dataset, Item, save_dataset
from mobile_bench.errors import BenchError
from mobile_bench.host import measure, require_records
from mobile_bench.protocol import Settings
from mobile_bench.quality import HeldOut, choose_users, summarize

QUICK = Settings(
    min_seconds=0, min_calls=4, min_rounds=2, warm_loads=1, memory_calls=1, warm_up_calls=1, energy_seconds=0
)


@pytest.fixture
def make_folder(tmp_path: Path):
    def make(targets: list[int], prefix: str = "item-") -> Path:
        """Users who had three items and then their target; the dataset's rows run the other way than the bundle's."""
        dataset = Dataset(
            name="toy",
            items=tuple(Item(f"{prefix}{19 - row}", "") for row in range(20)),
            users=tuple(f"u{user}" for user in range(len(targets))),
            sequences=tuple(np.array([3, 4, 5, 19 - target], np.int32) for target in targets),
        )
        save_dataset(dataset, tmp_path / "data")
        return tmp_path / "data"

    return make


def test_ranks_are_those_of_the_lists(bundle: Path, make_folder) -> None:
    """The bundle always answers with items 0 to 4."""
    users = choose_users(make_folder([0, 4, 5, 1]), 4)
    assert users.cases(bundle)[1] == HeldOut([16, 15, 14], 4)
    (record,) = require_records(measure([bundle], settings=QUICK, users=users))
    quality = record.quality
    assert quality is not None
    assert quality.ranks == [0, 4, -1, 1]
    assert (quality.dataset, quality.users, quality.hit_rate_10) == ("toy", 4, 0.75)
    assert quality.ndcg_10 == pytest.approx((1 + 1 / np.log2(6) + 1 / np.log2(3)) / 4)
    assert quality.ndcg_10_low <= quality.ndcg_10 <= quality.ndcg_10_high


def test_users_are_drawn_by_seed(make_folder) -> None:
    folder = make_folder(list(range(20)))
    some = choose_users(folder, 5)
    assert some == choose_users(folder, 5)
    assert len(some.targets) == 5
    assert len(choose_users(folder, 99).targets) == 20


def test_dataset_of_other_items_is_refused_before_anything_runs(bundle: Path, make_folder) -> None:
    users = choose_users(make_folder([0, 1], prefix="film-"), 2)
    with pytest.raises(BenchError, match="does not know item 'film-16' of dataset 'toy'"):
        measure([bundle], users=users)


def test_summary_counts_what_was_not_found() -> None:
    assert summarize("toy", [-1, -1]).ndcg_10 == 0
