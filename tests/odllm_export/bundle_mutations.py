"""Seeded damage to the files of a bundle, with or without a manifest whose hashes were made to fit afterwards."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from odllm_artifact import OdllmError, read_json, sha256_file, write_json
from odllm_export import bundle

Random = np.random.Generator

FILES = (
    bundle.GRAPH,
    bundle.WEIGHTS,
    bundle.CATALOG,
    bundle.ITEMS,
    bundle.GOLDEN,
    bundle.MODEL_CARD,
    bundle.MANIFEST,
)
JSON_FILES = (bundle.MANIFEST, bundle.GOLDEN)
HASHED_WITH_CARE = (bundle.GRAPH, bundle.WEIGHTS, bundle.CATALOG, bundle.ITEMS, bundle.GOLDEN)


@dataclass(frozen=True)
class Mutation:
    """What was done, in words; `fitted` if the manifest's sizes and hashes were computed again afterwards."""

    what: str
    file: str
    fitted: bool


def mutate(folder: Path, seed: int) -> Mutation:
    """Damage a bundle in one way that `seed` chooses; every second seed lets the manifest fit."""
    random = np.random.default_rng(seed)
    fitted = seed % 2 == 1
    kind = _KINDS[seed // 2 % len(_KINDS)]
    what, file = kind(folder, random, fitted)
    if fitted and (folder / bundle.MANIFEST).is_file():
        _fit_manifest(folder)
    return Mutation(what, file, fitted)


def _fit_manifest(folder: Path) -> None:
    """Give every file that is there its size and hash; one that is gone is no longer named."""
    try:
        manifest = read_json(folder / bundle.MANIFEST)
    except OdllmError:  # it was damaged so that nothing can be computed again
        return
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        return
    manifest["files"] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
        for name in manifest["files"]
        if (folder / name).is_file()
    }
    write_json(folder / bundle.MANIFEST, manifest)


def _pick(random: Random, fitted: bool) -> str:
    return str(random.choice(HASHED_WITH_CARE if fitted else FILES))


def _flip(data: bytearray, random: Random) -> None:
    for _ in range(random.integers(1, 4)):
        data[random.integers(len(data))] ^= 1 << int(random.integers(8))


def _cut(data: bytearray, random: Random) -> None:
    del data[random.integers(len(data)) :]


def _zero(data: bytearray, random: Random) -> None:
    start, length = random.integers(len(data)), int(random.integers(1, 512))
    data[start : start + length] = bytes(len(data[start : start + length]))


def _swap(data: bytearray, random: Random) -> None:
    length = int(random.integers(4, 64))
    a, b = sorted(random.integers(0, len(data) - 2 * length, 2))
    b += length
    data[a : a + length], data[b : b + length] = data[b : b + length], data[a : a + length]


def _append(data: bytearray, random: Random) -> None:
    data += random.bytes(int(random.integers(1, 64)))


def _drop_block(data: bytearray, random: Random) -> None:
    start = random.integers(len(data))
    del data[start : start + int(random.integers(1, 64))]


def _bytes(change: Callable[[bytearray, Random], None], what: str) -> Any:
    def kind(folder: Path, random: Random, fitted: bool) -> tuple[str, str]:
        file = _pick(random, fitted)
        data = bytearray((folder / file).read_bytes())
        change(data, random)
        (folder / file).write_bytes(data)
        return what, file

    return kind


def _swap_files(folder: Path, random: Random, fitted: bool) -> tuple[str, str]:
    one, other = (str(name) for name in random.choice(FILES[:-1], 2, replace=False))
    kept = (folder / one).read_bytes()
    (folder / one).write_bytes((folder / other).read_bytes())
    (folder / other).write_bytes(kept)
    return f"swapped with {other}", one


def _delete(folder: Path, random: Random, fitted: bool) -> tuple[str, str]:
    file = _pick(random, fitted)
    (folder / file).unlink()
    return "deleted", file


def _edit_json(folder: Path, random: Random, fitted: bool) -> tuple[str, str]:
    """Give one value of a JSON file, however deep, another one."""
    file = str(random.choice(JSON_FILES))
    value = read_json(folder / file)
    parent, key = _random_leaf(value, random)
    old = parent[key]
    parent[key] = new = _other_value(old, random)
    write_json(folder / file, value)
    return f"{key!r} is {new!r} instead of {old!r}", file


def _drop_key(folder: Path, random: Random, fitted: bool) -> tuple[str, str]:
    file = str(random.choice(JSON_FILES))
    value = read_json(folder / file)
    parent, key = _random_leaf(value, random)
    del parent[key]
    write_json(folder / file, value)
    return f"without {key!r}", file


def _random_leaf(value: Any, random: Random) -> tuple[Any, Any]:
    """Return a container and the key of a value in it that holds no others."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[random.integers(len(keys))]
        if not isinstance(value[key], dict | list) or not value[key]:
            return value, key
        value = value[key]


def _other_value(old: Any, random: Random) -> Any:
    other_kind = [None, "other", -1, [], {}][random.integers(5)]
    if random.integers(4) == 0:
        return other_kind
    if isinstance(old, bool):
        return not old
    if isinstance(old, int | float):
        return [old + 1, old - 1, 0, -old, old * 1000][random.integers(5)]
    if isinstance(old, str) and old:
        return [old[:-1], old + "x", old.upper(), ""][random.integers(4)]
    return other_kind


def _edit_item(folder: Path, random: Random, fitted: bool) -> tuple[str, str]:
    """Give one item another title or id."""
    lines = (folder / bundle.ITEMS).read_text(encoding="utf-8").splitlines()
    row, field = random.integers(len(lines)), str(random.choice(["id", "title"]))
    item = json.loads(lines[row])
    item[field] = [item[field] + "x", "", 7, json.loads(lines[row - 1])[field]][random.integers(4)]
    lines[row] = json.dumps(item)
    (folder / bundle.ITEMS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"{field} of row {row} is {item[field]!r}", bundle.ITEMS


def _edit_catalog(folder: Path, random: Random, fitted: bool) -> tuple[str, str]:
    """Add to one of the catalogue's numbers."""
    data = np.fromfile(folder / bundle.CATALOG, np.uint8)
    numbers = data[8 : len(data) - len(data) % 4].view("<i4")
    at, by = random.integers(len(numbers)), int(random.choice([-1, 1, 1000, -1000]))
    numbers[at] += by
    data.tofile(folder / bundle.CATALOG)
    return f"number {at} changed by {by}", bundle.CATALOG


def _edit_weight(folder: Path, random: Random, fitted: bool) -> tuple[str, str]:
    """Give a few weights other values, not-a-number among them."""
    data = np.fromfile(folder / bundle.WEIGHTS, np.float32)
    at = random.integers(len(data), size=random.integers(1, 50))
    data[at] = random.choice(np.array([np.nan, np.inf, 0, 1e30, -3], np.float32))
    data.tofile(folder / bundle.WEIGHTS)
    return f"{len(at)} weights are {data[at[0]]}", bundle.WEIGHTS


_KINDS: tuple[Callable[[Path, Random, bool], tuple[str, str]], ...] = (
    _bytes(_flip, "bits flipped"),
    _bytes(_cut, "cut off"),
    _edit_json,
    _bytes(_zero, "a block of zeros"),
    _edit_catalog,
    _bytes(_swap, "two blocks swapped"),
    _edit_item,
    _bytes(_append, "bytes appended"),
    _swap_files,
    _edit_weight,
    _delete,
    _bytes(_drop_block, "a block taken out"),
    _drop_key,
)
