"""A file of records: what `odllm bench --out` writes, measured cells and failed ones.

`python -m mobile_bench.results > docs/bench-record.schema.json` writes the JSON Schema anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from mobile_bench.errors import RecordError
from mobile_bench.record import SCHEMA_VERSION, Fact, Record, cell_label
from odllm_artifact import write_json


class Failure(Fact, frozen=True):
    """A cell that could not be measured: nothing of it is recorded but why.

    Attributes:
        bundle: name of its folder.
        provider: by the command line's name.
        threads: of the intra-op pool.
        reason: in words.
    """

    bundle: str
    provider: str
    threads: int
    reason: str

    @classmethod
    def of(cls, folder: Path, provider: str, threads: int, error: str) -> Failure:
        """Return the failure of a cell: on one line, though a runtime's words go over many, and without a path."""
        reason = " ".join(error.split()).replace(f"{folder.parent}{os.sep}", "")
        return cls(bundle=folder.name, provider=provider, threads=threads, reason=reason)

    @property
    def label(self) -> str:
        """Name of the cell for tables, as a record's."""
        return cell_label(self.bundle, self.provider, self.threads)


class Results(Fact, frozen=True):
    """What came of a run: the content of a file of records.

    Attributes:
        records: of the cells that were measured.
        failures: of the others.
        schema_version: of the file and of every record in it.
    """

    records: list[Record]
    failures: list[Failure]
    schema_version: int = SCHEMA_VERSION


def to_builtins(results: Results) -> dict[str, Any]:
    """Return results as plain dicts and lists."""
    return dict(msgspec.to_builtins(results))


def write_results(results: Results, path: Path) -> None:
    """Write a file of records, whole or not at all; its folder is created.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, to_builtins(results))


def read_results(path: Path) -> Results:
    """Read a file of records, as `odllm bench --out` writes it.

    Raises:
        RecordError: missing, cut short, of another schema, or not a file of records.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise RecordError(f"{path} is not valid JSON ({error}); it may be cut short. Measure again.") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path} is no file of records; `odllm bench --out FILE` writes such files. Measure again.")
    version = value.get("schema_version")
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        raise RecordError(
            f"{path} has schema version {version}; this version of odllm reads {SCHEMA_VERSION}. "
            f"{'Update odllm, or measure' if newer else 'Measure'} again."
        )
    try:
        return msgspec.convert(value, Results)
    except msgspec.ValidationError as error:
        raise RecordError(f"{path} is damaged: {error}. Measure again.") from error


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of records."""
    return msgspec.json.schema(Results)


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
