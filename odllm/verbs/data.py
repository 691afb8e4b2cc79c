"""`odllm data`: interaction data in, a dataset folder out; and a look at one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odllm.console import out as console_out
from odllm.console import print_json, print_table, progress_bar, say
from odllm.importing import EMBEDDED, Format, Repeats, check_options, read_source
from odllm.options import Json, Overwrite
from odllm.verbs.add_items import add_items
from odllm.verbs.sample import sample
from odllm_artifact import resolve_output

if TYPE_CHECKING:
    from lcrec.importers.imported import Imported

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.command("add-items")(add_items)
app.command("sample")(sample)

Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="File or folder to read: for csv and parquet the table, for amazon2018 and amazon2023 a category's "
        "ratings (.csv) or reviews (.json, .jsonl), for steam the reviews, for lcrec the folder with X.inter.json or "
        "that file, for movielens the folder with ratings.csv and movies.csv. All but parquet and lcrec may be gzip. "
        f"The word {EMBEDDED} reads the MovieLens data shipped with the program.",
    ),
]
FormatOption = Annotated[Format | None, typer.Option("--format", help=f"Format of SRC; not needed for {EMBEDDED}.")]
Meta = Annotated[
    Path | None,
    typer.Option(
        help="File with the items of an Amazon or Steam dump, for titles and texts; items it does not know are dropped."
    ),
]
MinRating = Annotated[
    float | None,
    typer.Option(help="Keep interactions rated at least this. Default: 4 stars for movielens, all for the others."),
]
MinInteractions = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Keep users and items with at least this many interactions, repeated until all have them. "
        "Default: 1 for csv and parquet, 5 for the others.",
    ),
]
RepeatsOption = Annotated[
    Repeats | None,
    typer.Option(
        help="An item that a user comes back to: keep every time, or the first only. Default: first for amazon2018, "
        "amazon2023 and steam, keep for csv and parquet."
    ),
]
RequireTitles = Annotated[bool, typer.Option("--require-titles", help="Drop items that --meta has no title for, too.")]
NoCodes = Annotated[bool, typer.Option("--no-codes", help="Leave out the item codes of an lcrec source.")]
UserColumn = Annotated[str | None, typer.Option(help="The users' column of a csv or parquet. Default: user.")]
ItemColumn = Annotated[str | None, typer.Option(help="The items' column of a csv or parquet. Default: item.")]
TimeColumn = Annotated[str | None, typer.Option(help="The time column, a number in a csv. Default: timestamp.")]
TitleColumn = Annotated[str | None, typer.Option(help="The title column. Default: title, if there is one.")]
RatingColumn = Annotated[str | None, typer.Option(help="The rating column. Default: rating, if there is one.")]


@app.command("import")
def import_data(
    source: Source,
    out: Annotated[Path, typer.Option(help="Dataset folder to write.")],
    format_: FormatOption = None,
    name: Annotated[str | None, typer.Option(help="What reports call the dataset. Default: taken from SRC.")] = None,
    meta: Meta = None,
    min_rating: MinRating = None,
    min_interactions: MinInteractions = None,
    repeats: RepeatsOption = None,
    require_titles: RequireTitles = False,
    no_codes: NoCodes = False,
    user_column: UserColumn = None,
    item_column: ItemColumn = None,
    time_column: TimeColumn = None,
    title_column: TitleColumn = None,
    rating_column: RatingColumn = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Read interaction data and write a dataset folder; what was mended on the way is counted."""
    given: dict[str, Any] = {
        "--meta": meta,
        "--min-rating": min_rating,
        "--min-interactions": min_interactions,
        "--repeats": repeats,
        "--require-titles": require_titles or None,
        "--no-codes": no_codes or None,
        "--user-column": user_column,
        "--item-column": item_column,
        "--time-column": time_column,
        "--title-column": title_column,
        "--rating-column": rating_column,
    }
    options = {option: value for option, value in given.items() if value is not None}
    kind = check_options(source, format_, options)
    resolve_output(out, overwrite=overwrite)
    with progress_bar("import") as progress:
        imported = read_source(kind, source, name, options, progress)
    imported.save(out, overwrite=overwrite)
    _print_import(imported, out, as_json)


@app.command("stats")
def stats(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset folder to look at.")],
    as_json: Json = False,
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
    """Print how often each repair happened and its sentence, one a line."""
    from lcrec.importers.repairs import REPAIRS

    width = max((len(f"{count:,}") for count in repairs.values()), default=0)
    for name, count in repairs.items():
        console_out.print(f"{count:{width},}  {REPAIRS.get(name, name)}", highlight=False, markup=False, soft_wrap=True)
