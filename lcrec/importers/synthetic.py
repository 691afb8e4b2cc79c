"""Write a made-up dump of any size: what an import takes in memory and time can be measured without anyone's data.

    python -m lcrec.importers.synthetic --users 1000000 --items 100000 --out big

writes `big/Synthetic.csv.gz` and `big/meta_Synthetic.jsonl.gz` in the form of Amazon's dump of 2023, for

    odllm data import --format amazon2023 big/Synthetic.csv.gz --meta big/meta_Synthetic.jsonl.gz --out data

Items are drawn by Zipf's law within topics; a user has one to three topics and comes back session after session, which
is what makes codes and recommenders possible. Rows stand in the order of time, as a shop's log does.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from odllm_artifact import write_folder

Int64 = NDArray[np.int64]

TOPICS = 200
ZIPF_EXPONENT = 0.9
MEAN_INTERACTIONS = 11.0
FEWEST_INTERACTIONS = 3
USERS_A_BATCH = 50_000
WORDS_A_TOPIC = 40
START_MS, SPAN_MS = 1_500_000_000_000, 150_000_000_000

_SYLLABLES = ("ba", "ko", "li", "mu", "ne", "ra", "so", "ti", "va", "zu", "del", "fir", "gon", "hal", "jin", "per")


def write_dump(folder: Path, users: int, items: int, seed: int = 0, *, overwrite: bool = False) -> int:
    """Write the two files and return the number of interactions.

    Args:
        folder: where.
        users: how many.
        items: how many, at least `TOPICS`.
        seed: of everything random.
        overwrite: replace a folder that is there already.

    Raises:
        ArtifactError: something is there already and `overwrite` is false, or it cannot be written.
    """
    random = np.random.default_rng(seed)
    with write_folder(folder, overwrite=overwrite) as staging:
        _write_items(staging / "meta_Synthetic.jsonl.gz", items, random)
        user, item, time = _draw(users, items, random)
        _write_ratings(staging / "Synthetic.csv.gz", user, item, time, random)
    return len(user)


def _draw(users: int, items: int, random: np.random.Generator) -> tuple[Int64, Int64, Int64]:
    """Draw users, items and times of all interactions, in the order of time."""
    parts = [
        _draw_users(np.arange(first, min(first + USERS_A_BATCH, users)), items, random)
        for first in range(0, users, USERS_A_BATCH)
    ]
    user, item, time = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(time, kind="stable")
    return user[order], item[order], time[order]


def _draw_users(users: Int64, items: int, random: np.random.Generator) -> tuple[Int64, Int64, Int64]:
    """Draw some users' interactions: sessions of one topic each, minutes apart within, days apart between."""
    extra = random.geometric(1 / (MEAN_INTERACTIONS - FEWEST_INTERACTIONS + 1), len(users)) - 1
    lengths = FEWEST_INTERACTIONS + extra
    user = np.repeat(users, lengths)
    topics = random.integers(0, TOPICS, (len(users), 3))
    new_session = random.random(len(user)) < 1 / 3
    chosen = np.maximum.accumulate(np.where(new_session, np.arange(len(user)), 0))
    of_session = random.integers(0, 3, len(user))[chosen]
    topic = topics[user - users[0], of_session]
    item = topic + TOPICS * _zipf(items // TOPICS, len(user), random)
    gaps = np.where(new_session, random.exponential(3e8, len(user)), random.exponential(2e5, len(user)))
    begin = np.cumsum(lengths) - lengths
    passed = np.cumsum(gaps)
    since = passed - np.repeat(passed[begin], lengths)
    start = START_MS + random.integers(0, SPAN_MS, len(users))
    return user, item, (np.repeat(start, lengths) + since).astype(np.int64)


def _zipf(count: int, draws: int, random: np.random.Generator) -> Int64:
    """Draw from 0 to `count` - 1, the k-th with a probability of (k + 1) to the -`ZIPF_EXPONENT`."""
    share = np.cumsum(np.arange(1, count + 1) ** -ZIPF_EXPONENT)
    return np.searchsorted(share, random.random(draws) * share[-1])


def _write_ratings(path: Path, user: Int64, item: Int64, time: Int64, random: np.random.Generator) -> None:
    stars = random.integers(1, 6, len(user))
    with gzip.open(path, "wt", compresslevel=1, encoding="ascii", newline="") as file:
        file.write("user_id,parent_asin,rating,timestamp\n")
        for first in range(0, len(user), USERS_A_BATCH):
            part = slice(first, first + USERS_A_BATCH)
            columns = (values[part].tolist() for values in (user, item, stars, time))
            file.writelines(f"{_user_id(u)},{_item_id(i)},{s}.0,{t}\n" for u, i, s, t in zip(*columns, strict=True))


def _write_items(path: Path, items: int, random: np.random.Generator) -> None:
    """Write titles and descriptions of words of the item's topic."""
    words = np.array(["".join(random.choice(_SYLLABLES, 3)) for _ in range(TOPICS * WORDS_A_TOPIC)])
    with gzip.open(path, "wb", compresslevel=1) as file:
        for item in range(items):
            own = words[item % TOPICS * WORDS_A_TOPIC + random.integers(0, WORDS_A_TOPIC, 24)]
            record = {
                "title": " ".join(own[:4]).title() + f" {item}",
                "description": [" ".join(own[4:])],
                "store": words[item % len(words)].title(),
                "categories": ["Synthetic", f"Topic {item % TOPICS}"],
                "parent_asin": _item_id(item),
            }
            file.write(msgspec.json.encode(record) + b"\n")


def _user_id(user: int) -> str:
    """Return an id as long as those of 2023."""
    return f"AE{user:026d}"


def _item_id(item: int) -> str:
    return f"B{item:09d}"


def main() -> None:
    """Read the options, write the files, say how many interactions they hold."""
    parser = argparse.ArgumentParser(description="Write a made-up dump in the form of Amazon's of 2023.")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that is there already")
    options = parser.parse_args()
    if options.users < 1 or options.items < TOPICS:
        parser.error(f"{options.users} users, {options.items} items; at least 1 and {TOPICS} are needed")
    count = write_dump(options.out, options.users, options.items, options.seed, overwrite=options.overwrite)
    print(f"{options.out}: {count:,} interactions of {options.users:,} users with {options.items:,} items")


if __name__ == "__main__":
    main()
