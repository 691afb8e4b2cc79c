"""The tensors of a model folder, by name, read one at a time, with an account of what was used.

An exporter that overlooks a tensor writes a graph that computes something else, and nobody notices: elsewhere
factored checkpoints have been exported with randomly initialised projections and exit code 0. Here a missing or
left-over tensor stops the export, and so does one that is not finite.

Files are read, not mapped: the pages of a mapped checkpoint count as this process's memory until all of it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from odllm_artifact import read_json, sha256_file
from odllm_export.errors import TensorError

_STORED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
"""How the formats that models are stored in are read; numpy has no bfloat16, the upper half of a float32."""

_PIECE_BYTES = 16 << 20


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies: its file, format, shape, and place in the file in bytes."""

    file: FileIO
    format: str
    shape: tuple[int, ...]
    offset: int


class ModelTensors:
    """A checkpoint's tensors as float32; a context manager, because the files stay open.

    Attributes:
        folder: of the model.
        shared_inputs: projection → the projection whose input factor it reads through, where that is another.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shared_inputs = read_shared_inputs(folder)
        self._entries: dict[str, _Entry] = {}
        self._taken: set[str] = set()
        with ExitStack() as stack:
            for path in shards(folder):
                header, begin = read_header(path)
                file = stack.enter_context(path.open("rb", buffering=0))
                for name, found in header.items():
                    if name in self._entries:
                        raise TensorError(f"{folder} holds tensor {name!r} in two files. Make the model again.")
                    shape, offset = tuple(found["shape"]), begin + found["data_offsets"][0]
                    self._entries[name] = _Entry(file, found["dtype"], shape, offset)
            self._stack = stack.pop_all()

    def __enter__(self) -> ModelTensors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def input_factor(self, projection: str) -> str:
        """Return the name of the input factor that a projection reads through, whether it is there or not."""
        return f"{self.shared_inputs.get(projection, projection)}.input_factor.weight"

    def readers(self, input_factor: str) -> list[str]:
        """Return the projections that read through an input factor, its owner first."""
        owner = input_factor.removesuffix(".input_factor.weight")
        return [owner, *(name for name, other in self.shared_inputs.items() if other == owner)]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape without reading it.

        Raises:
            TensorError: there is no such tensor.
        """
        if name not in self._entries:
            raise TensorError(f"{self.folder} has no tensor {name!r}, which the graph needs")
        return self._entries[name].shape

    def take(self, name: str, shape: tuple[int, ...], *, rows: Sequence[int] = ()) -> NDArray[np.float32]:
        """Read a tensor as float32 and mark it used. Beside the result, only a piece of it is in memory.

        Args:
            name: of the tensor.
            shape: that it must have.
            rows: the rows to return, in this order; all if none are named. All are checked.

        Raises:
            TensorError: missing, of another shape, in a format that is not read, or with entries that are not finite.
        """
        found = self.shape(name)
        if found != shape:
            raise TensorError(f"tensor {name!r} of {self.folder} has shape {list(found)}, expected {list(shape)}")
        wanted = np.asarray(rows, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < shape[0]:
            raise TensorError(f"tensor {name!r} of {self.folder} has {shape[0]} rows; row {wanted.max()} was asked for")
        value = np.empty((len(wanted), *shape[1:]) if len(wanted) else shape, np.float32)
        for start, piece in self._pieces(name):
            if not np.isfinite(piece).all():
                raise TensorError(f"tensor {name!r} of {self.folder} has entries that are not finite")
            if len(wanted):
                here = (wanted >= start) & (wanted < start + len(piece))
                value[here] = piece[wanted[here] - start]
            else:
                value[start : start + len(piece)] = piece
        self._taken.add(name)
        return value

    def _pieces(self, name: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield a tensor's rows a few at a time, with the number of the first."""
        entry = self._entries[name]
        if entry.format not in _STORED:
            raise TensorError(
                f"tensor {name!r} of {self.folder} is stored as {entry.format}; {', '.join(_STORED)} are read. "
                "Save the model in one of them."
            )
        stored = _STORED[entry.format]
        row_items = int(np.prod(entry.shape[1:]))
        at_once = max(1, _PIECE_BYTES // max(1, 4 * row_items))
        try:
            entry.file.seek(entry.offset)
            for start in range(0, entry.shape[0], at_once):
                rows = min(at_once, entry.shape[0] - start)
                raw = np.fromfile(entry.file, stored, rows * row_items)
                yield start, _to_float32(raw, entry.format).reshape(rows, *entry.shape[1:])
        except (OSError, ValueError) as error:  # fewer items than asked for do not take the shape
            raise TensorError(
                f"cannot read tensor {name!r} of {self.folder}: {error}. Copy the model again."
            ) from error

    def check_all_taken(self, *, may_remain: frozenset[str] = frozenset()) -> None:
        """Check that nothing of the model was left out of the graph.

        Raises:
            TensorError: tensors are left over; the message names them.
        """
        left = sorted(set(self._entries) - self._taken - may_remain)
        if left:
            raise TensorError(
                f"{len(left)} tensors of {self.folder} have no place in the graph: {', '.join(left[:4])}"
                f"{' …' if len(left) > 4 else ''}. The exported model would compute something else."
            )


def shards(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder, in the order of its index."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise TensorError(f"{folder} lacks {', '.join(missing)}, which {index.name} names. Copy the model again.")
        return [folder / name for name in names]
    single = folder / "model.safetensors"
    if not single.is_file():
        raise TensorError(f"{folder} has no model.safetensors; a model folder in safetensors format is needed")
    return [single]


def parameter_count(folder: Path) -> int:
    """Return the number of stored parameters, tied tensors counted once."""
    headers = [read_header(path)[0] for path in shards(folder)]
    return sum(int(np.prod(entry["shape"])) for header in headers for entry in header.values())


def read_ranks(folder: Path, tensors: ModelTensors) -> dict[str, int]:
    """Return the rank of each factored projection by its module name, as `low_rank.json` has it; none if dense.

    Raises:
        TensorError: it is damaged, or its ranks are not those of the tensors.
    """
    path = folder / "low_rank.json"
    ranks = read_json(path).get("ranks") if path.is_file() else {}
    if not isinstance(ranks, dict):
        raise TensorError(f"{path} has no ranks. Compress the model again.")
    for name, rank in ranks.items():
        if (found := tensors.shape(tensors.input_factor(name))[0]) != rank:
            raise TensorError(f"{path} gives {name} rank {rank}, its tensors have {found}. Compress the model again.")
    return ranks


def read_shared_inputs(folder: Path) -> dict[str, str]:
    """Return projection → the projection whose input factor it reads through, as `low_rank.json` has it.

    Raises:
        TensorError: it is damaged.
    """
    path = folder / "low_rank.json"
    content = read_json(path) if path.is_file() else {}
    shared = content.get("shared_inputs", {}) if isinstance(content, dict) else None
    if not isinstance(shared, dict) or not all(isinstance(owner, str) for owner in shared.values()):
        raise TensorError(f"{path} has damaged shared_inputs. Compress the model again.")
    return shared


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return what a safetensors file says of its tensors by name, and where their bytes begin.

    Raises:
        TensorError: it is truncated or damaged.
    """
    try:
        with safe_open(path, framework="np"):  # it checks that the tensors fill the file without a gap
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (SafetensorError, OSError) as error:
        raise TensorError(f"cannot read {path}: {error}. The file may be truncated; copy it again.") from error
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, 8 + size


def _to_float32(raw: NDArray[Any], stored: str) -> NDArray[np.float32]:
    """Return numbers as they were read as float32."""
    if stored == "BF16":
        return np.left_shift(raw, 16, dtype=np.uint32).view(np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is refused as such
        return raw.astype(np.float32, copy=False)


def checkpoint_hash(model_folder: Path) -> str:
    """Return the SHA-256 of a model's weights: of the file, or of the shards' hashes one after another."""
    hashes = [sha256_file(path) for path in shards(model_folder)]
    return hashes[0] if len(hashes) == 1 else "+".join(hashes)
