"""A study: cells that are run, a table and a plot of their rows, and the folder that holds all three."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from odllm.studies.cells import Cell
from odllm.studies.errors import StudyError
from odllm.studies.rows import Measured, Row
from odllm.studies.running import Bench, run_cells
from odllm.studies.tables import Column, markdown
from odllm_artifact import Progress, read_json, silent, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
STUDY, TABLE, PLOT, CELLS = "study.json", "table.md", "plot.png", "cells"
DOTS_PER_INCH = 110


@dataclass(frozen=True)
class Study:
    """What is asked, and how the answer is shown.

    Attributes:
        name: the verb's.
        title: of table and plot.
        cells: in the order in which they run and stand in the table; a dense one for every step that is asked.
        columns: of the table.
        draw: makes the plot of the rows.
        notes: sentences below the table, from what was measured.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    columns: tuple[Column, ...]
    draw: Callable[[str, Sequence[Row]], Figure]
    notes: Callable[[Measured], list[str]] = lambda _: []


def check_folder(out: Path) -> None:
    """Check that a study may be written into a folder, before hours are spent on it.

    Raises:
        StudyError: it is a file, or holds something else.
    """
    if out.is_file():
        raise StudyError(f"{out} is a file; a study is a folder. Choose another --out.")
    if out.is_dir() and any(out.iterdir()) and not (out / CELLS).is_dir() and not (out / STUDY).is_file():
        raise StudyError(f"{out} holds something that is no study. Choose another --out.")


def run_study(study: Study, bench: Bench, out: Path, *, command: str, progress: Progress = silent) -> list[Row]:
    """Run what is missing of a study, write study.json, table.md and plot.png into `out`, and return the rows.

    Args:
        study: what is asked.
        bench: who is asked.
        out: folder; finished cells in it are taken over.
        command: that makes this study, for the record and the table.
        progress: told about finished cells.

    Raises:
        StudyError: `out` is in the way.
        OdllmError: a cell cannot be computed; the finished ones stay.
    """
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    measured = Measured(study.cells, run_cells(bench, study.cells, progress))
    rows, notes = measured.rows(), study.notes(measured)
    title = f"{study.title}: {bench.dataset.name}"
    table = markdown(title, study.columns, rows, [protocol_note(bench, rows), *notes], command)
    _write_plot(study.draw(title, rows), out / PLOT)
    _write_text(out / TABLE, table)
    write_json(out / STUDY, _record(study, bench, measured, rows, notes, command))
    return rows


def protocol_note(bench: Bench, rows: Sequence[Row]) -> str:
    """Return in words how every row was measured."""
    protocol, dataset = bench.protocol, bench.dataset
    seeds = max(row.seeds for row in rows)
    drawn = "users and seeds" if seeds > 1 else "users"
    return (
        f"{rows[0].users:,} of {len(dataset.users):,} users, the same for every row; leave-one-out over all "
        f"{len(dataset.items):,} items, {protocol.constraint}, `{protocol.scoring}` scoring, {protocol.num_beams} beams"
        f"{f'; means over {seeds} seeds' if seeds > 1 else ''}. Kept: mean ÷ the dense model's mean, with the 95 % "
        f"interval of a bootstrap over {drawn}, paired by user."
    )


def _record(
    study: Study, bench: Bench, measured: Measured, rows: Sequence[Row], notes: Sequence[str], command: str
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.name,
        "title": study.title,
        "command": command,
        "dataset": bench.dataset.name,
        "facts": bench.facts,
        "sources": bench.hashes,
        "user_rows": bench.users.tolist(),
        "notes": list(notes),
        "rows": msgspec.to_builtins(rows),
        "cells": [msgspec.to_builtins(cell) | msgspec.to_builtins(result) for cell, result in measured.pairs()],
    }


def read_rows(folder: Path) -> list[Row]:
    """Return the rows of a finished study.

    Raises:
        StudyError: the folder holds none, or one of another schema.
    """
    record = read_json(folder / STUDY)
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise StudyError(f"{folder / STUDY} has schema version {version}; this version of odllm reads {SCHEMA_VERSION}")
    return msgspec.convert(record["rows"], list[Row])


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _write_plot(figure: Figure, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.writing")
    figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)
    temporary.replace(path)
