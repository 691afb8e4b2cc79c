"""Which training sequences calibrate a compression: covering the code tokens, balanced over lengths and templates.

The candidates are windows of the users' training parts. `random` draws them alike. `covering` gives every kind of
window (its length, and whether it begins a history or goes on) its share of the budget, so that the tokens meet the
places of the prompt as often as in the data, and inside a kind prefers windows whose code tokens the choice so far
holds too rarely: tokens that it lacks first, and all in proportion to the data in the long run. It looks at a few
windows a pick only: the greediest choice covers most, but of windows that no longer resemble the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.errors import CalibrationChoiceError
from lcrec.prompt import Prompt
from lcrec.windows import TokenBatch, batch_windows, training_windows

Choice = Literal["covering", "random"]

DEFAULT_SEQUENCES = 1024
"""Sequences of a recommendation history are short: a few hundred hold too few tokens for the statistics."""

CANDIDATES = 16
"""Windows compared a pick."""

_RARE = 0.05
"""Occurrences that a token counts as having before it has any: its first one is worth log(1 + 1 ÷ this)."""


class CalibrationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many sequences calibrate, and which.

    Attributes:
        sequences: how many; all if there are fewer.
        tokens: about how many tokens instead.
        choice: `covering` or `random`.

    Raises:
        CalibrationChoiceError: not one budget, a budget below 1, or an unknown choice.
    """

    sequences: int | None = None
    tokens: int | None = None
    choice: Choice = "covering"

    def __post_init__(self) -> None:
        if self.choice not in get_args(Choice):
            raise CalibrationChoiceError(
                f"the calibration is {self.choice!r}; expected one of {', '.join(get_args(Choice))}"
            )
        budgets = [number for number in (self.sequences, self.tokens) if number is not None]
        if len(budgets) != 1:
            raise CalibrationChoiceError("calibration needs one budget: give either sequences or tokens")
        if budgets[0] < 1:
            raise CalibrationChoiceError(f"{budgets[0]} calibration sequences or tokens; expected at least 1")


class CalibrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen, beside what there was to choose from.

    Attributes:
        choice: `covering` or `random`.
        sequences: chosen.
        tokens: in them, prompt and all.
        candidates: windows of the training parts.
        code_tokens: distinct code tokens in the chosen sequences, a level.
        code_tokens_of_data: distinct code tokens in the training parts, a level.
        coverage: `code_tokens` ÷ `code_tokens_of_data` over all levels.
        distance: half the sum of the differences between the frequencies of the code tokens in the choice and in the
            data: 0 equal, 1 nothing in common.
        mean_items: items a chosen window.
        mean_items_of_data: items a candidate.
        templates: chosen windows a prompt template.
    """

    choice: Choice
    sequences: int
    tokens: int
    candidates: int
    code_tokens: tuple[int, ...]
    code_tokens_of_data: tuple[int, ...]
    coverage: float
    distance: float
    mean_items: float
    mean_items_of_data: float
    templates: tuple[int, ...]


@dataclass(frozen=True)
class Calibration:
    """The sequences that calibrate, and what is said of them.

    Attributes:
        batches: right-padded token batches, similar lengths together.
        report: of the choice.
    """

    batches: list[TokenBatch]
    report: CalibrationReport


def choose_calibration(
    dataset: Dataset, templates: Sequence[Prompt], request: CalibrationRequest, *, batch_size: int, seed: int = 0
) -> Calibration:
    """Choose calibration sequences from the users' training parts.

    Args:
        dataset: with item codes.
        templates: the prompts that the model will read, used equally often within every kind of window. A device has
            one, the deployed; what varies, and is balanced, is the history's length and where in it a window begins.
        request: how many and which.
        batch_size: sequences a batch.
        seed: of the cuts and of the draw.

    Raises:
        CalibrationChoiceError: no templates, or no training sequence of two items.
        ItemCodesError: the dataset has no codes yet.
    """
    if not templates:
        raise CalibrationChoiceError("no prompt template was given; expected at least the recommender's prompt")
    random = np.random.default_rng(seed)
    candidates = _Candidates.of(dataset, max(prompt.max_items for prompt in templates), random)
    wanted = candidates.number(templates, request)
    picked = random.permutation(len(candidates.windows))[:wanted]
    if request.choice == "covering":
        picked = _covering(candidates, wanted, random)
    kinds = candidates.kind[picked]
    picked, kinds = picked[np.argsort(kinds, kind="stable")], np.sort(kinds)
    # Dealt out in turn along the kinds, every template meets every kind equally often.
    dealt = np.arange(len(picked)) % len(templates)
    batches = [
        batch
        for number, prompt in enumerate(templates)
        for batch in batch_windows(
            [candidates.windows[i] for i in picked[dealt == number]], candidates.item_codes, prompt, batch_size
        )
    ]
    return Calibration(
        batches, candidates.report(picked, batches, request.choice, np.bincount(dealt, minlength=len(templates)))
    )


@dataclass(frozen=True)
class _Candidates:
    """All windows of the training parts.

    Attributes:
        windows: item rows.
        kind: int64 `[windows]`, ordered by length: twice the length, plus one where the window goes on in a history.
        items: int32 `[windows, longest]` item rows, the number of items where the window is shorter.
        tokens: int64 `[items + 1, levels]` code row of every item; one past the last code row for the padding.
        item_codes: `[items, levels]`.
        levels: code rows end here, a level; `[levels]`.
    """

    windows: list[NDArray[np.int32]]
    kind: NDArray[np.int64]
    items: NDArray[np.int32]
    tokens: NDArray[np.int64]
    item_codes: NDArray[np.integer]
    levels: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Dataset, max_items: int, random: np.random.Generator) -> _Candidates:
        codes = dataset.require_codes()
        users = training_windows(dataset, max_items, random)
        windows = [window for user in users for window in user]
        if not windows:
            raise CalibrationChoiceError(
                f"{dataset.name} has no training part of two items or more; users with at least four interactions "
                "are needed to calibrate"
            )
        lengths = np.array([len(window) for window in windows])
        goes_on = np.array([number > 0 for user in users for number in range(len(user))])
        items = np.full((len(windows), max_items + 1), codes.items, dtype=np.int32)
        items[np.arange(max_items + 1) < lengths[:, None]] = np.concatenate(windows)
        ends = np.cumsum(codes.sizes)
        rows = codes.codes + np.concatenate([[0], ends[:-1]])
        tokens = np.concatenate([rows, np.full((1, len(ends)), ends[-1])]).astype(np.int64)
        return cls(windows, 2 * lengths + goes_on, items, tokens, codes.codes, ends)

    def number(self, templates: Sequence[Prompt], request: CalibrationRequest) -> int:
        """Return how many windows the budget allows."""
        sequences = request.sequences
        if sequences is None:
            assert request.tokens is not None
            items, windows = np.unique(self.kind // 2, return_counts=True)
            mean = np.mean(
                [
                    np.average([prompt.length(int(n) - 1) + prompt.levels for n in items], weights=windows)
                    for prompt in templates
                ]
            )
            sequences = max(round(request.tokens / float(mean)), 1)
        return min(sequences, len(self.windows))

    def count(self, picked: NDArray[np.integer] | slice) -> NDArray[np.int64]:
        """Count the code tokens of windows, `[code rows]`."""
        per_item = np.bincount(self.items[picked].ravel(), minlength=len(self.tokens))[:-1]
        levels = self.tokens[:-1].T
        return sum(np.bincount(level, per_item, self.levels[-1]) for level in levels).astype(np.int64)  # type: ignore[union-attr]

    def report(
        self,
        picked: NDArray[np.integer],
        batches: Sequence[TokenBatch],
        choice: Choice,
        templates: NDArray[np.integer],
    ) -> CalibrationReport:
        chosen, data = self.count(picked), self.count(slice(None))
        covered, occurring = (np.split(counts > 0, self.levels[:-1]) for counts in (chosen, data))
        return CalibrationReport(
            choice=choice,
            sequences=len(picked),
            tokens=sum(int(batch.real.sum()) for batch in batches),
            candidates=len(self.windows),
            code_tokens=tuple(int(level.sum()) for level in covered),
            code_tokens_of_data=tuple(int(level.sum()) for level in occurring),
            coverage=float((chosen > 0).sum() / (data > 0).sum()),
            distance=float(np.abs(chosen / chosen.sum() - data / data.sum()).sum() / 2),
            mean_items=float(np.mean(self.kind[picked] // 2)),
            mean_items_of_data=float(np.mean(self.kind // 2)),
            templates=tuple(templates.tolist()),
        )


def _covering(candidates: _Candidates, wanted: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return windows whose kinds have their shares and whose tokens come close to the data's, all of them met.

    Greedy on Σ p·log(count + ε) over the code tokens, p their share of the data: submodular, largest where the
    counts are in proportion to p, and steep where a count is 0. Each pick compares `CANDIDATES` random windows of a
    kind ("lazier than lazy greedy", arXiv 1409.7938).
    """
    share = candidates.count(slice(None)).astype(np.float64)
    weight = np.append(share / share.sum(), 0.0)  # the padding is worth nothing
    counts = np.full(len(weight), _RARE)
    shuffled = random.permutation(len(candidates.kind))
    by_kind = shuffled[np.argsort(candidates.kind[shuffled], kind="stable")]
    _, starts = np.unique(candidates.kind[by_kind], return_index=True)
    bounds = np.append(starts, len(by_kind))
    # Rounded cumulatively, what one kind loses its neighbour in length gains.
    shares = np.round(bounds * (wanted / len(by_kind))).astype(np.int64)
    quotas = shares[1:] - shares[:-1]
    left = [by_kind[start:end].tolist() for start, end in pairwise(bounds.tolist())]
    picked = []
    for kind in random.permutation(np.repeat(np.arange(len(quotas)), quotas)).tolist():
        places = random.integers(0, len(left[kind]), CANDIDATES)
        tokens = np.sort(candidates.tokens[candidates.items[[left[kind][i] for i in places]]].reshape(CANDIDATES, -1))
        worths = weight[tokens] * np.log1p(1 / (counts[tokens] + _earlier(tokens)))  # [candidates, tokens]
        place = int(places[worths.sum(axis=1).argmax()])
        left[kind][place], left[kind][-1] = left[kind][-1], left[kind][place]
        window = left[kind].pop()
        np.add.at(counts, candidates.tokens[candidates.items[window]].ravel(), 1)
        picked.append(window)
    return np.array(picked, dtype=np.int64)


def _earlier(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many equal tokens stand before each in its sorted row, `[rows, tokens]`."""
    places = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    begins = np.ones(tokens.shape, dtype=bool)
    begins[:, 1:] = tokens[:, 1:] != tokens[:, :-1]
    return places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)
