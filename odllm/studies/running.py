"""Running the cells of a study: each once, kept on disk as soon as it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.catalog import Catalog
from lcrec.dataset import Dataset, load_dataset
from lcrec.dataset_match import check_codes
from lcrec.evaluate import Ranker, dataset_catalog, evaluate, model_ranker
from lcrec.prompt import read_card
from odllm.studies.cells import Cell, Result, cell_key, pack_ranks, read_result, write_result
from odllm.studies.making import Maker
from odllm.studies.protocol import Protocol, ask, draw_users
from odllm_artifact import Progress, sha256_file, sha256_folder, silent

MODEL_FILES = ("baseline.json", "config.json", "low_rank.json", "recommender.json")
"""What beside the weights decides a model's lists and size; reports and evaluations in its folder do not."""

_MAKING_SHARE = 0.3
"""Of a cell's time, until it is known better: compressing beside evaluating."""

Answer = Callable[["Bench", Cell, Progress], Result]
"""Computes a cell that is no model folder; see `Bench.answers`."""


@dataclass
class Bench:
    """Everything that the cells of a study share.

    Attributes:
        sources: name → model folder; one of them is `cells.DENSE`.
        dataset_folder: with item codes.
        protocol: who is asked for what.
        cells_folder: where finished cells are kept.
        answers: sources that are no model folders: name → a hash of what decides the result, and what computes it.
    """

    sources: Mapping[str, Path]
    dataset_folder: Path
    protocol: Protocol
    cells_folder: Path
    answers: Mapping[str, tuple[str, Answer]] = field(default_factory=dict)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset."""
        return load_dataset(self.dataset_folder)

    @cached_property
    def catalog(self) -> Catalog:
        """Its catalogue."""
        return dataset_catalog(self.dataset)

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """Rows of the users who are asked, the same for every cell."""
        return draw_users(self.dataset, self.protocol)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What decides every cell's result, whatever its recipe."""
        return {"dataset": sha256_folder(self.dataset_folder), "protocol": msgspec.to_builtins(self.protocol)}

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Source → hash of its weights and of what else decides its lists."""
        found = {name: model_hash(folder) for name, folder in self.sources.items()}
        return found | {name: digest for name, (digest, _) in self.answers.items()}

    @cached_property
    def maker(self) -> Maker:
        """What makes the models."""
        return Maker(self.dataset_folder, self.dataset)


def model_hash(folder: Path) -> str:
    """Return the SHA-256s of a model's weights and settings, one after the other.

    Raises:
        ArtifactError: the folder holds no weights.
    """
    weights = sorted(folder.glob("*.safetensors")) or [folder / "model.safetensors"]
    others = [folder / name for name in MODEL_FILES if (folder / name).is_file()]
    return "+".join(sha256_file(path) for path in (*weights, *others))


def run_cells(bench: Bench, cells: Sequence[Cell], progress: Progress = silent) -> list[Result]:
    """Return the results of all cells, in order; those on disk are not computed again.

    Raises:
        ItemCodesError: a model speaks other codes than the dataset's.
        OdllmError: a cell cannot be made; those before it stay on disk.
    """
    for folder in bench.sources.values():
        check_codes(folder, bench.dataset, bench.dataset_folder)
    files = [_file(bench, cell) for cell in cells]
    results = [read_result(file) for file in files]
    missing = [number for number, result in enumerate(results) if result is None]
    for done, number in enumerate(missing):
        cell, file = cells[number], files[number]
        found = read_result(file)  # another cell of this study may have the same settings
        if found is None:
            part = _part(
                progress,
                done / len(missing),
                (done + 1) / len(missing),
                f"cell {done + 1} of {len(missing)}: {cell.label}",
            )
            part(0, 1)
            found = _compute(bench, cell, part)
            write_result(file, cell, _facts(bench, cell), found)
        results[number] = found
    progress(1, 1, f"{len(cells) - len(missing)} of {len(cells)} cells were there before")
    return [result for result in results if result is not None]


def ranked(bench: Bench, ranker: Ranker, cell: Cell, progress: Progress = silent) -> Result:
    """Return a cell's result, but for its sizes: where every user's target came out."""
    started = time.monotonic()
    histories, targets = ask(bench.dataset, bench.users, cell.step)
    ranks = evaluate(ranker, histories, targets, bench.dataset.require_codes().codes, progress=progress).ranks
    return Result(ranks=pack_ranks(ranks), users=len(ranks), evaluation_s=time.monotonic() - started)


def _facts(bench: Bench, cell: Cell) -> dict[str, Any]:
    return bench.facts | {"source": bench.hashes[cell.source]}


def _file(bench: Bench, cell: Cell) -> Path:
    return bench.cells_folder / f"{cell_key(cell, _facts(bench, cell))}.json"


def _compute(bench: Bench, cell: Cell, progress: Progress) -> Result:
    if cell.source in bench.answers:
        return bench.answers[cell.source][1](bench, cell, progress)
    source = bench.sources[cell.source]
    made, protocol = bench.maker.make(source, cell.recipe, _part(progress, 0, _MAKING_SHARE)), bench.protocol
    ranker = model_ranker(
        made.model,
        read_card(source).prompt,
        bench.catalog,
        num_beams=protocol.num_beams,
        constraint=protocol.constraint,  # type: ignore[arg-type]
        scoring=protocol.scoring,  # type: ignore[arg-type]
    )
    return msgspec.structs.replace(
        ranked(bench, ranker, cell, _part(progress, _MAKING_SHARE, 1)),
        parameters=made.parameters,
        keep_ratio=made.keep_ratio,
        weight_bytes=made.weight_bytes,
        projection_bytes=made.projection_bytes,
        calibration_tokens=made.calibration_tokens,
        compression_s=made.compression_s,
        recovery_s=made.recovery_s,
    )


def _part(progress: Progress, start: float, end: float, title: str = "") -> Progress:
    """Return the progress of the piece of work from `start` to `end` of 1; its own notes follow `title`."""

    def report(done: float, total: float, note: str = "") -> None:
        progress(start + (end - start) * done / max(total, 1e-9), 1.0, " ".join(filter(None, (title, note))))

    return report
