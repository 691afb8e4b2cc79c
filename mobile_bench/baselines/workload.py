"""The benchmark's workload: a model shape, a random catalogue, and prompts of one exact length.

The weights are random: time and memory depend on shapes, not on what was learnt, and anyone can build the same
model from its seed. Lists are compared all the same: the programs must agree about this random model too.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.catalog import Catalog, build_catalog
from lcrec.dataset import Dataset
from lcrec.items import Item, ItemCodes
from lcrec.prompt import Prompt
from mobile_bench.errors import BenchError


class Shape(msgspec.Struct, frozen=True):
    """A model, a catalogue and a prompt.

    Attributes:
        name: of the shape.
        hidden: width of the hidden state.
        layers: decoder blocks.
        heads: query heads.
        kv_heads: key and value heads.
        intermediate: width of the MLP.
        words: tokens of the vocabulary before the code tokens.
        weight_std: standard deviation of the random weights; so large that scores spread well beyond rounding.
        code_sizes: codes a level.
        items: in the catalogue, every one with a code of its own.
        prefix: tokens before the history.
        history: items in it.
        long_history: items in the long prompt's.
        suffix: tokens behind it. Between two items stands one separator token.
        num_beams: of every search.
        top_k: length of the compared lists.
    """

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    words: int
    weight_std: float
    code_sizes: tuple[int, ...]
    items: int
    prefix: int
    history: int
    long_history: int
    suffix: int
    num_beams: int
    top_k: int

    @property
    def vocabulary(self) -> int:
        """Tokens: words, then code tokens."""
        return self.words + sum(self.code_sizes)


SHAPES: dict[str, Shape] = {
    # SmolLM2-135M. The prompt is 16 + 20 items of 4 codes + 19 separators + 5 = 120 tokens; the long one 480.
    "smollm2-135m": Shape(
        name="smollm2-135m",
        hidden=576,
        layers=30,
        heads=9,
        kv_heads=3,
        intermediate=1536,
        words=49_152,
        weight_std=0.04,
        code_sizes=(256, 256, 256, 256),
        items=9_900,
        prefix=16,
        history=20,
        long_history=92,
        suffix=5,
        num_beams=20,
        top_k=10,
    ),
    "tiny": Shape(
        name="tiny",
        hidden=32,
        layers=2,
        heads=4,
        kv_heads=2,
        intermediate=64,
        words=40,
        weight_std=0.2,
        code_sizes=(8, 8, 8),
        items=60,
        prefix=3,
        history=4,
        long_history=12,
        suffix=2,
        num_beams=6,
        top_k=5,
    ),
}

_LONG = "-long"
_SEED = 2025
_HISTORY_SEED = 2
"""Chosen among 1, 2, 3, …: the first whose top-10 `vocab` scores at SmolLM2's shape are more than 1e-3 apart."""


def find_shape(name: str) -> Shape:
    """Return a shape by name; `NAME-long` is the shape with its long history.

    Raises:
        BenchError: there is none of that name.
    """
    known = name.removesuffix(_LONG)
    if known not in SHAPES:
        raise BenchError(f"shape {name!r} is not one of {', '.join(SHAPES)}")
    return SHAPES[known] if known == name else long_shape(SHAPES[known])


def long_shape(shape: Shape) -> Shape:
    """Return a shape with its long history in place of the usual one."""
    return msgspec.structs.replace(shape, name=shape.name + _LONG, history=shape.long_history)


def make_prompt(shape: Shape) -> Prompt:
    """Return the prompt: random words around the items, fixed by the seed."""
    words = np.random.default_rng(_SEED).permutation(shape.words)[: shape.prefix + shape.suffix + 1].tolist()
    return Prompt(
        prefix_ids=tuple(words[: shape.prefix]),
        separator_ids=(words[-1],),
        suffix_ids=tuple(words[shape.prefix : -1]),
        max_items=shape.history,
        code_sizes=shape.code_sizes,
        first_code_token=shape.words,
    )


def make_dataset(shape: Shape, histories: int) -> Dataset:
    """Return random items with distinct codes, and users whose test history has exactly `shape.history` items."""
    random = np.random.default_rng(_SEED + 1)
    space = int(np.prod(shape.code_sizes))
    drawn = np.unique(random.integers(space, size=4 * shape.items))
    numbers = random.permutation(drawn)[: shape.items]
    if len(numbers) < shape.items:
        raise BenchError(f"{space} codes are too few to draw {shape.items} distinct ones at random")
    codes = np.stack(np.unravel_index(numbers, shape.code_sizes), axis=1).astype(np.int32)
    sequences = (
        np.random.default_rng(_HISTORY_SEED).integers(shape.items, size=(histories, shape.history + 1)).astype(np.int32)
    )
    return Dataset(
        name=f"random-{shape.name}",
        items=tuple(Item(str(row), f"item {row}") for row in range(shape.items)),
        users=tuple(str(user) for user in range(histories)),
        sequences=tuple(sequences),
        codes=ItemCodes(codes, shape.code_sizes),
    )


class Workload:
    """What every row is asked: the same prompts over the same catalogue."""

    def __init__(self, shape: Shape, histories: int) -> None:
        self.shape = shape
        self.prompt = make_prompt(shape)
        self.dataset = make_dataset(shape, histories)
        codes = self.dataset.require_codes().codes
        self.catalog: Catalog = build_catalog(codes, shape.code_sizes, self.dataset.item_ids)
        self.histories: list[NDArray[np.int64]] = [rows.astype(np.int64) for rows in self.dataset.split().test_history]
        self.prompts = [self.prompt.encode(codes[history]) for history in self.histories]
