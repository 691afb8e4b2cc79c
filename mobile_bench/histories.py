"""The histories that a bundle is asked about: its own golden ones, else seeded random ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from mobile_bench.errors import BenchError
from mobile_bench.record import Workload
from odllm_artifact import read_json
from odllm_export.bundle import GOLDEN, Manifest, read_items

RANDOM_HISTORIES = 32
MOST_HISTORIES = 64
_SEED = 7

Source = Literal["golden", "random", "given"]


class Histories(NamedTuple):
    """Item rows, oldest first, one list a history."""

    source: Source
    rows: list[list[int]]


def choose_histories(folder: Path, manifest: Manifest) -> Histories:
    """Return the bundle's golden histories, or full windows of random items where it has none.

    Raises:
        BenchError: `golden.json` names items that the bundle does not have.
    """
    if GOLDEN not in manifest.files:
        random = np.random.default_rng(_SEED)
        shape = (RANDOM_HISTORIES, manifest.prompt.max_items)
        return Histories("random", random.integers(manifest.items, size=shape).tolist())
    by_id = {item["id"]: row for row, item in enumerate(read_items(folder))}
    golden = read_json(folder / GOLDEN)
    try:
        rows = [[by_id[item] for item in entry["history"]] for entry in golden["cases"]]
    except (KeyError, TypeError) as error:
        raise BenchError(f"{folder / GOLDEN} does not fit its bundle ({error!r}). Export the bundle again.") from error
    if not rows:
        raise BenchError(f"{folder / GOLDEN} has no histories. Export the bundle again.")
    return Histories("golden", rows[:MOST_HISTORIES])


def given_histories(rows: Sequence[Sequence[int]], manifest: Manifest) -> Histories:
    """Return histories that the caller chose.

    Raises:
        BenchError: none, an empty one, or a row outside the catalogue.
    """
    for history in rows:
        if not history or min(history) < 0 or max(history) >= manifest.items:
            raise BenchError(f"history {list(history)[:8]} is empty or has rows outside 0 … {manifest.items - 1}")
    if not rows:
        raise BenchError("no histories were given; at least one is needed")
    return Histories("given", [list(history) for history in rows])


def workload(histories: Histories, manifest: Manifest, warm_up_calls: int) -> Workload:
    """Return what the record says about the histories."""
    return Workload(
        source=histories.source,
        histories=len(histories.rows),
        history_items=[len(history) for history in histories.rows],
        prompt_tokens=[manifest.prompt.length(len(history)) for history in histories.rows],
        warm_up_calls=warm_up_calls,
    )
