"""Which formats `odllm data import` reads, which options each has, and the call of its reader."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from odllm_artifact import Progress

if TYPE_CHECKING:
    from lcrec.importers.imported import Imported
    from lcrec.importers.interactions import Limits
    from lcrec.importers.table import TableColumns

EMBEDDED = "embedded:movielens"
"""The word for the data that is shipped with the program."""


class Format(StrEnum):
    """What the source looks like."""

    lcrec = "lcrec"
    movielens = "movielens"
    csv = "csv"
    parquet = "parquet"
    amazon2018 = "amazon2018"
    amazon2023 = "amazon2023"
    steam = "steam"


class Repeats(StrEnum):
    """What becomes of an item that a user comes back to."""

    keep = "keep"
    first = "first"


_LIMITS = {"--min-rating", "--min-interactions"}
_COLUMNS = {"--user-column", "--item-column", "--time-column", "--title-column", "--rating-column"}
_TABLE = {*_LIMITS, *_COLUMNS, "--repeats"}
_DUMP = {*_LIMITS, "--repeats", "--meta", "--require-titles"}

_OPTIONS_OF = {
    Format.lcrec: {"--no-codes"},
    Format.movielens: _LIMITS,
    Format.csv: _TABLE,
    Format.parquet: _TABLE,
    Format.amazon2018: _DUMP,
    Format.amazon2023: _DUMP,
    Format.steam: _DUMP - {"--min-rating"},
}


def check_options(source: str, kind: Format | None, options: dict[str, Any]) -> Format:
    """Return the format; refuse options that it does not have.

    Args:
        source: what was asked to be read.
        kind: its format, if that was said.
        options: the options that were given, by name.

    Raises:
        typer.BadParameter: no format, one that `EMBEDDED` is not of, or an option without a meaning.
    """
    if source == EMBEDDED:
        kind = kind or Format.movielens
        if kind is not Format.movielens:
            raise typer.BadParameter(f"{EMBEDDED} is of the format movielens, not {kind.value}")
    if kind is None:
        raise typer.BadParameter(f"say which format SRC has: --format {', '.join(Format)}")
    foreign = [option for option in options if option not in _OPTIONS_OF[kind]]
    if foreign:
        raise typer.BadParameter(f"{foreign[0]} has no meaning for --format {kind.value}")
    if "--rating-column" in options and "--min-rating" not in options:
        raise typer.BadParameter("--rating-column needs --min-rating: nothing else looks at ratings")
    if "--require-titles" in options and "--meta" not in options:
        raise typer.BadParameter("--require-titles needs --meta: the titles are there")
    return kind


def read_source(kind: Format, source: str, name: str | None, options: dict[str, Any], progress: Progress) -> Imported:
    """Call the reader of the format with the options that were given.

    Raises:
        DatasetError: the source is missing or damaged, or nothing is left of it.
    """
    path = Path(source)
    if kind is Format.lcrec:
        from lcrec.importers.lcrec_format import import_lcrec

        return import_lcrec(path, name=name, with_codes="--no-codes" not in options)
    if kind is Format.movielens:
        from lcrec.embedded import embedded_movielens
        from lcrec.importers import movielens

        folder = embedded_movielens() if source == EMBEDDED else path
        limits = _limits(movielens.DEFAULT_LIMITS, options)
        return movielens.import_movielens(folder, name=name or "movielens", limits=limits, progress=progress)
    if kind is Format.csv:
        from lcrec.importers import csv_format

        limits = _limits(csv_format.DEFAULT_LIMITS, options)
        return csv_format.import_csv(path, name=name, columns=_columns(options), limits=limits, progress=progress)
    if kind is Format.parquet:
        from lcrec.importers import parquet_format as parquet

        limits = _limits(parquet.DEFAULT_LIMITS, options)
        return parquet.import_parquet(path, name=name, columns=_columns(options), limits=limits, progress=progress)
    return _read_dump(kind, path, name, options, progress)


def _read_dump(kind: Format, path: Path, name: str | None, options: dict[str, Any], progress: Progress) -> Imported:
    """Read interactions and items of two files."""
    from lcrec.importers.amazon import AMAZON2018, AMAZON2023
    from lcrec.importers.dump import LCREC_LIMITS
    from lcrec.importers.steam import STEAM

    dump = {Format.amazon2018: AMAZON2018, Format.amazon2023: AMAZON2023, Format.steam: STEAM}[kind]
    return dump.read(
        path,
        meta=options.get("--meta"),
        name=name,
        limits=_limits(LCREC_LIMITS, options),
        require_titles="--require-titles" in options,
        progress=progress,
    )


def _limits(default: Limits, options: dict[str, Any]) -> Limits:
    """Return the format's limits with those that were given."""
    given = {
        "min_rating": options.get("--min-rating"),
        "min_interactions": options.get("--min-interactions"),
        "first_only": options["--repeats"] is Repeats.first if "--repeats" in options else None,
    }
    return dataclasses.replace(default, **{key: value for key, value in given.items() if value is not None})


def _columns(options: dict[str, Any]) -> TableColumns:
    """Return the columns' names, the default ones where none were given."""
    from lcrec.importers.table import TableColumns

    names = {"user": "--user-column", "item": "--item-column", "timestamp": "--time-column"}
    given = {key: options[option] for key, option in names.items() if option in options}
    return TableColumns(**given, title=options.get("--title-column"), rating=options.get("--rating-column"))
