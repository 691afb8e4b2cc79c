"""The cells of a study: what each is made from, what came out, and the file that keeps a finished one."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from compression.config import CompressionConfig
from odllm.studies.errors import StudyError
from odllm_artifact import read_json, write_json

DENSE = "dense"
"""The source, the line and the label of what every other cell is held against."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a cell's model comes from its source.

    Attributes:
        config: of the compression; None leaves the model as it is.
        sequences: calibration sequences.
        history_share: part of each user's training interactions, from the first, that calibrates.
        recover_s: seconds of distillation after the compression.
        precision: what the weights are rounded to, embedding and head included as in an export; `fp32` leaves them.
        seed: of the choice of sequences and of the recovery.
    """

    config: CompressionConfig | None = None
    sequences: int = 0
    history_share: float = 1.0
    recover_s: float = 0.0
    precision: str = "fp32"
    seed: int = 0


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One model, asked once.

    Attributes:
        label: what the table calls it; cells that differ in the seed only share it.
        line: which line of the plot it is on.
        x: where on that line.
        recipe: how the model is made.
        source: name of the folder that it is made from.
        step: which item of every user is asked for: 1 the last, 2 the one before it, given everything earlier.
    """

    label: str
    line: str
    x: float = 0.0
    recipe: Recipe = Recipe()
    source: str = DENSE
    step: int = 1


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a cell gave.

    Attributes:
        ranks: packed by `pack_ranks`: where every user's target came out.
        users: how many.
        parameters: of the whole model; 0 where there is no model.
        keep_ratio: kept ÷ original parameters of the factored matrices.
        weight_bytes: of all weights at the cell's precision, embedding and head included.
        projection_bytes: of the seven projections of all blocks alone.
        calibration_tokens: seen by the compression.
        compression_s: wall time of the compression.
        recovery_s: wall time of the distillation.
        evaluation_s: wall time of the evaluation.
    """

    ranks: str
    users: int
    parameters: int = 0
    keep_ratio: float = 1.0
    weight_bytes: int = 0
    projection_bytes: int = 0
    calibration_tokens: int = 0
    compression_s: float = 0.0
    recovery_s: float = 0.0
    evaluation_s: float = 0.0


def pack_ranks(ranks: NDArray[np.integer]) -> str:
    """Return ranks `[users]` as text, about a byte a user: JSON keeps them for any later pairing."""
    return base64.b64encode(zlib.compress(np.asarray(ranks, dtype="<i2").tobytes(), 9)).decode()


def unpack_ranks(text: str) -> NDArray[np.int64]:
    """Return the ranks that `pack_ranks` packed, int64 `[users]`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<i2").astype(np.int64)


def cell_key(cell: Cell, facts: dict[str, Any]) -> str:
    """Return the name of a cell's file: a hash of what decides its result.

    Args:
        cell: label, line and place are not among it, so that studies can share cells.
        facts: hashes of the source and the dataset, the users, the search.
    """
    settings = {"recipe": msgspec.to_builtins(cell.recipe), "step": cell.step, **facts}
    return hashlib.sha256(msgspec.json.encode(settings, order="deterministic")).hexdigest()[:24]


def read_result(path: Path) -> Result | None:
    """Return a finished cell's result, or None if it is not finished.

    Raises:
        StudyError: the file is damaged.
        ArtifactError: it is not JSON.
    """
    if not path.is_file():
        return None
    try:
        return msgspec.convert(read_json(path)["result"], Result)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise StudyError(
            f"{path} is not a cell of a study ({error}). Delete it; the cell is computed again."
        ) from error


def write_result(path: Path, cell: Cell, facts: dict[str, Any], result: Result) -> None:
    """Write a finished cell, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"cell": msgspec.to_builtins(cell), "facts": facts, "result": msgspec.to_builtins(result)})
