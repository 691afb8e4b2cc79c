"""A cell's model, made from its source exactly as `odllm compress` makes one."""

from __future__ import annotations

import copy
import dataclasses
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from compression.checkpoint import load_model
from compression.pipeline import count_parameters
from lcrec.calibration import CalibrationRequest
from lcrec.dataset import Dataset, save_dataset
from odllm.baselines.folders import RECORD as BASELINE
from odllm.calibrating import Calibrated, ProgressBar
from odllm.compressing import compress_folder, recovery_options
from odllm.rounding import bytes_of, round_model
from odllm.studies.cells import Recipe
from odllm_artifact import Progress, read_json, silent

_FP32_BYTES = 4


@dataclass(frozen=True)
class Made:
    """A model and how it was made; the numbers are those of `cells.Result`."""

    model: Any
    parameters: int
    keep_ratio: float
    weight_bytes: int
    projection_bytes: int
    calibration_tokens: int = 0
    compression_s: float = 0.0
    recovery_s: float = 0.0


@dataclass
class Maker:
    """Makes models; the last one stays, since neighbouring cells often round or ask the same.

    Attributes:
        dataset_folder: whose training users calibrate.
        dataset: its content.
    """

    dataset_folder: Path
    dataset: Dataset
    _last: tuple[tuple[Path, Recipe], Made] | None = field(default=None, init=False)

    def make(self, source: Path, recipe: Recipe, progress: Progress = silent) -> Made:
        """Return the model of a recipe.

        Raises:
            CompressionError: the source cannot be read or compressed so.
            LcrecError: the source or the dataset is no recommender's.
        """
        unrounded = msgspec.structs.replace(recipe, precision="fp32")
        if self._last is None or self._last[0] != (source, unrounded):
            self._last = None  # gone before the next is made: never two in memory
            self._last = ((source, unrounded), self._make(source, unrounded, progress))
        made = self._last[1]
        return made if recipe.precision == "fp32" else _rounded(made, recipe.precision)

    def _make(self, source: Path, recipe: Recipe, progress: Progress) -> Made:
        if recipe.config is None:
            model = load_model(source)
            return Made(model, count_parameters(model), _keep_ratio(source), *stored_bytes(model, source))
        with tempfile.TemporaryDirectory(prefix="odllm-study-") as temporary:
            out, dataset_folder = Path(temporary) / "model", self.dataset_folder
            if recipe.history_share < 1:
                dataset_folder = Path(temporary) / "dataset"
                save_dataset(early_part(self.dataset, recipe.history_share), dataset_folder)
                # Byte for byte: by its hash a model knows the codes that it was trained on.
                shutil.copyfile(self.dataset_folder / "codes.json", dataset_folder / "codes.json")
            record = compress_by(recipe, source, dataset_folder, out, progress)
            model = load_model(out)
            return Made(
                model,
                record["parameters_after"],
                record["keep_ratio"],
                *stored_bytes(model, out),
                record["tokens"],
                record["seconds"],
                (record["recovery"] or {}).get("seconds", 0.0),
            )


def compress_by(
    recipe: Recipe, source: Path, dataset_folder: Path, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Compress a model folder as a recipe says, and return the record of the compression.

    Raises:
        CompressionError: the source cannot be read or compressed so.
        LcrecError: the source or the dataset is no recommender's.
    """
    assert recipe.config is not None
    return compress_folder(
        Calibrated(source, dataset_folder, CalibrationRequest(sequences=recipe.sequences), recipe.seed),
        out,
        config=recipe.config,
        recovery=recovery_options(recipe.recover_s, seed=recipe.seed) if recipe.recover_s else None,
        progress=bars_into(progress),
    )


def early_part(dataset: Dataset, share: float) -> Dataset:
    """Return the dataset as it was when every user had made only a share of their training interactions.

    The training part of each user is the first ⌈share · n⌉ of their n training interactions; the two items behind it
    stand where leave-one-out holds two back.
    """
    lengths = (math.ceil(share * (len(sequence) - 2)) for sequence in dataset.sequences)
    sequences = tuple(s[: length + 2] for s, length in zip(dataset.sequences, lengths, strict=True))
    return dataclasses.replace(dataset, sequences=sequences)


def _keep_ratio(folder: Path) -> float:
    """Return what a compressed model says of itself; 1 of any other."""
    report = folder / "compression.json"
    return float(read_json(report)["keep_ratio"]) if report.is_file() else 1.0


def stored_bytes(model: Any, folder: Path) -> tuple[int, int]:
    """Return the bytes of all weights, and of the seven projections alone, as they are stored.

    A baseline's folder holds what its few bits stand for as float32, and says how many bytes they are.
    """
    parameters, projections = count_parameters(model), bytes_of(model, "fp32")
    record = read_json(folder / BASELINE) if (folder / BASELINE).is_file() else {}
    if "bytes" not in record:
        return _FP32_BYTES * parameters, projections
    saved = record["bytes_fp32"] - record["bytes"]
    tables = record.get("options", {}).get("tables", False)
    return _FP32_BYTES * parameters - saved, projections if tables else projections - saved


def _rounded(made: Made, precision: str) -> Made:
    model = copy.deepcopy(made.model)
    round_model(model, precision, tables=True)
    matrices = bytes_of(model, "fp32", tables=True)
    others = _FP32_BYTES * made.parameters - matrices  # norms and biases stay as they are
    return dataclasses.replace(
        made,
        model=model,
        weight_bytes=others + bytes_of(model, precision, tables=True),
        projection_bytes=bytes_of(model, precision),
    )


def bars_into(progress: Progress) -> ProgressBar:
    """Return a bar that reports into `progress`, as a fraction and with its title as the note."""

    @contextmanager
    def bar(title: str) -> Iterator[Progress]:
        yield lambda done, total, _="": progress(done / max(total, 1e-9), 1.0, title)

    return bar
