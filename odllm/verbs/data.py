"""`odllm data`: interaction data in, a dataset folder out; and a look at one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odllm.console import out as console_out
from odllm.console import print_json, print_table, say
from odllm_artifact import resolve_output

if TYPE_CHECKING:
    from lcrec.importers.imported import Imported

EMBEDDED = "embedded:movielens"
"""The word for the data that is shipped with the program."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class Format(StrEnum):
    """What the source looks like."""

    lcrec = "lcrec"
    movielens = "movielens"
    csv = "csv"


_OPTIONS_OF = {
    Format.lcrec: {"--no-codes"},
    Format.movielens: {"--min-rating", "--min-interactions"},
    Format.csv: {
        *("--min-rating", "--min-interactions"),
        *("--user-column", "--item-column", "--time-column", "--title-column", "--rating-column"),
    },
}


@app.command("import")
def import_data(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="Folder or file to read: for lcrec the folder with X.inter.json or that file, for movielens the "
            f"folder with ratings.csv and movies.csv, for csv the table. The word {EMBEDDED} reads the "
            "MovieLens data shipped with the program.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Dataset folder to write.")],
    format_: Annotated[
        Format | None, typer.Option("--format", help=f"Format of SRC; not needed for {EMBEDDED}.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What reports call the dataset. Default: taken from SRC.")] = None,
    min_rating: Annotated[
        float | None,
        typer.Option(help="Keep interactions rated at least this. Default: 4 stars for movielens, all for csv."),
    ] = None,
    min_interactions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Keep users and items with at least this many interactions, repeated until all have them. "
            "Default: 5 for movielens, 1 for csv.",
        ),
    ] = None,
    no_codes: Annotated[bool, typer.Option("--no-codes", help="Leave out the item codes of an lcrec source.")] = False,
    user_column: Annotated[
        str | None, typer.Option(help="Header of the users' column of a csv. Default: user.")
    ] = None,
    item_column: Annotated[
        str | None, typer.Option(help="Header of the items' column of a csv. Default: item.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="Header of the time column of a csv, a number. Default: timestamp.")
    ] = None,
    title_column: Annotated[
        str | None, typer.Option(help="Header of the title column of a csv. Default: title, if there is one.")
    ] = None,
    rating_column: Annotated[
        str | None, typer.Option(help="Header of the rating column of a csv. Default: rating, if there is one.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Read interaction data and write a dataset folder; what was mended on the way is counted."""
    given: dict[str, Any] = {
        "--min-rating": min_rating,
        "--min-interactions": min_interactions,
        "--no-codes": no_codes or None,
        "--user-column": user_column,
        "--item-column": item_column,
        "--time-column": time_column,
        "--title-column": title_column,
        "--rating-column": rating_column,
    }
    options = {option: value for option, value in given.items() if value is not None}
    kind = _check_options(source, format_, options)
    resolve_output(out, overwrite=overwrite)
    imported = _read(kind, source, name, options)
    imported.save(out, overwrite=overwrite)
    _print_import(imported, out, as_json)


@app.command("stats")
def stats(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset folder to look at.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Print how many users, items and interactions a dataset has, how long sequences are, how codes are used."""
    from lcrec.dataset import load_dataset
    from lcrec.dataset_files import read_header

    figures = load_dataset(dataset).statistics()
    repairs = read_header(dataset / "dataset.json").repairs
    if as_json:
        print_json({**figures, "repairs": repairs})
        return
    codes = figures.pop("codes")
    _print_figures(figures)
    _print_repairs(repairs)
    if codes is not None:
        print_code_statistics(codes)


def print_code_statistics(statistics: dict[str, Any]) -> None:
    """Print how the codes of each level are used, and how many items share all their codes."""
    rows = [
        [
            str(number),
            f"{level['size']:,}",
            f"{level['used']:,}",
            f"{level['perplexity']:.1f}",
            f"{100 * level['largest']:.1f} %",
            f"{level['prefixes']:,}",
        ]
        for number, level in enumerate(statistics["levels"], start=1)
    ]
    print_table("item codes", ["level", "codes", "used", "perplexity", "largest", "prefixes"], rows)
    console_out.print(
        f"{statistics['items']:,} items, {statistics['distinct_codes']:,} different codes, "
        f"{statistics['collisions']:,} collisions (largest group {statistics['largest_group']})",
        highlight=False,
        soft_wrap=True,
    )


def _check_options(source: str, kind: Format | None, options: dict[str, Any]) -> Format:
    """Return the format; refuse options that it does not have."""
    if source == EMBEDDED:
        kind = kind or Format.movielens
        if kind is not Format.movielens:
            raise typer.BadParameter(f"{EMBEDDED} is of the format movielens, not {kind.value}")
    if kind is None:
        raise typer.BadParameter("say which format SRC has: --format lcrec, movielens or csv")
    foreign = [option for option in options if option not in _OPTIONS_OF[kind]]
    if foreign:
        raise typer.BadParameter(f"{foreign[0]} has no meaning for --format {kind.value}")
    return kind


def _read(kind: Format, source: str, name: str | None, options: dict[str, Any]) -> Imported:
    """Call the reader of the format with the options that were given."""
    limits = {
        option.removeprefix("--").replace("-", "_"): options[option]
        for option in ("--min-rating", "--min-interactions")
        if option in options
    }
    if kind is Format.lcrec:
        from lcrec.importers.lcrec_format import import_lcrec

        return import_lcrec(Path(source), name=name, with_codes="--no-codes" not in options)
    if kind is Format.movielens:
        from lcrec.embedded import embedded_movielens
        from lcrec.importers.movielens import import_movielens

        folder = embedded_movielens() if source == EMBEDDED else Path(source)
        return import_movielens(folder, name=name or "movielens", **limits)
    from lcrec.importers.csv_format import CsvColumns, import_csv

    columns = CsvColumns(
        user=options.get("--user-column", CsvColumns.user),
        item=options.get("--item-column", CsvColumns.item),
        timestamp=options.get("--time-column", CsvColumns.timestamp),
        title=options.get("--title-column"),
        rating=options.get("--rating-column"),
    )
    return import_csv(Path(source), name=name, columns=columns, **limits)


def _print_import(imported: Imported, out: Path, as_json: bool) -> None:
    figures = imported.dataset.statistics()
    if as_json:
        print_json({"out": str(out), **figures, "repairs": imported.repairs})
        return
    codes = figures.pop("codes")
    _print_figures(figures)
    _print_repairs(imported.repairs)
    say(f"wrote {out}" if codes else f"wrote {out}; next: odllm codes {out}")


def _print_figures(figures: dict[str, Any]) -> None:
    name = figures.pop("name")
    sparsity = f"{100 * figures.pop('sparsity'):.3f} %"
    rows = [[key.replace("_", " "), f"{value:,}"] for key, value in figures.items()]
    print_table(name, ["", ""], [*rows, ["sparsity", sparsity]])


def _print_repairs(repairs: dict[str, int]) -> None:
    """Print each repair that happened with its sentence."""
    from lcrec.importers.repairs import REPAIRS

    if repairs:
        rows = [[REPAIRS.get(name, name), f"{count:,}"] for name, count in repairs.items()]
        print_table("repairs", ["what", "count"], rows)
