"""Bundles for the Kotlin library's tests, and what the Python runtime answers: real ones, small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lcrec.dataset import Dataset
from odllm_export.bundle import GOLDEN, MANIFEST, MODEL_CARD
from odllm_export.catalog_edit import add_items, block_items, remove_items
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.new_items import NewItem
from odllm_export.runtime import Recommender

BEAMS = 12
HISTORIES = 200
LISTS = "python-lists.json"

_OPTIONS = {
    "loop": {},
    "unrolled": {"form": "unrolled"},
    "steps": {"form": "steps", "chunk": 8},
    "vocab": {"scoring": "vocab"},
    "int8": {"precision": "int8-dynamic"},
}


def make_bundles(
    folder: Path, make_model_folder: Callable[..., tuple[Path, object]], make_dataset: Callable[..., Dataset]
) -> None:
    """Fill a folder with bundles, updates of one's catalogue, and `python-lists.json`.

    `loop`, `unrolled`, `steps`, `vocab` and `int8` hold one model and 60 items, `one-item` one item. `grown`, `shrunk`
    and `blocked` are `loop` with another catalogue; `grown-files` holds only what an app would fetch of the first.
    `other` holds another model.
    """
    folder.mkdir(parents=True)
    model, dataset = make_model_folder("model")[0], make_dataset()
    for name, options in _OPTIONS.items():
        export_bundle(model, dataset, folder / name, _options(**options))
    export_bundle(model, make_dataset(items=1), folder / "one-item", _options())
    export_bundle(make_model_folder("other", seed=1)[0], dataset, folder / "other", _options())
    loop = folder / "loop"
    new = [NewItem("new-1", "A new item", like="i3"), NewItem("é", "Amélie", codes=(1, 2, 3))]
    add_items(loop, new, out=folder / "grown")
    remove_items(loop, ["i0", "i7"], out=folder / "shrunk")
    block_items(loop, [f"i{row}" for row in range(50)], out=folder / "blocked")
    _copy_changed(folder / "grown", loop, folder / "grown-files")
    names = [*_OPTIONS, "one-item", "grown", "shrunk", "blocked"]
    (folder / LISTS).write_text(json.dumps({name: python_lists(folder / name) for name in names}))


def python_lists(bundle: Path) -> list[dict[str, object]]:
    """Return what the Python runtime answers to histories of all lengths, every third with blocked items."""
    lists = []
    with Recommender.open(bundle) as recommender:
        ids = [item["id"] for item in recommender.items]
        random = np.random.default_rng(0)
        for number in range(HISTORIES):
            history = [ids[row] for row in random.integers(0, len(ids), random.integers(1, 13))]
            blocked = history if number % 3 == 0 and len(ids) > 1 else []
            found = recommender.recommend(history, top_k=BEAMS, blocked=blocked)
            answer = {"items": [one.item_id for one in found], "scores": [one.score for one in found]}
            lists.append({"history": history, "blocked": sorted(set(blocked)), **answer})
    return lists


def _options(**changes: object) -> ExportOptions:
    return ExportOptions(num_beams=BEAMS, top_k=5, **changes)


def _copy_changed(changed: Path, installed: Path, out: Path) -> None:
    out.mkdir()
    for name in (MANIFEST, "catalog.bin", "items.jsonl", GOLDEN, MODEL_CARD):
        assert (changed / name).read_bytes() != (installed / name).read_bytes()
        shutil.copy(changed / name, out)
