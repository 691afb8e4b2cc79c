"""`odllm catalog`: look at a bundle's items and change them; the model stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odllm.console import out as console_out
from odllm.console import print_json, print_table, progress_bar, say
from odllm.options import Json

if TYPE_CHECKING:
    from lcrec.rqvae.quantizer import Quantizer
    from odllm_export.catalog_edit import CatalogChange

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ITEM_ID...", help="Items, by id.")]
IdFile = Annotated[Path | None, typer.Option("--file", help="Text file with more item ids, one a line.")]
Out = Annotated[Path | None, typer.Option(help="Write the changed bundle there. Default: in place.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder at --out if it exists.")]


@app.command("list")
def list_items(
    bundle: Bundle,
    search: Annotated[str, typer.Option(help="Only items whose id or title holds this text.")] = "",
    blocked: Annotated[bool, typer.Option("--blocked", help="Only blocked items.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many items to print.")] = 20,
    json: Json = False,
) -> None:
    """Print items with their codes, and whether they may come back."""
    from odllm_export.catalog_list import list_catalog

    listing = list_catalog(bundle, search=search, blocked_only=blocked, limit=limit)
    if json:
        import msgspec

        print_json(msgspec.to_builtins(listing))
        return
    rows = [[one.id, one.title, " ".join(map(str, one.codes)), one.state] for one in listing.shown]
    print_table(f"{len(rows):,} of {listing.matching:,} items", ["id", "title", "codes", "state"], rows)
    console_out.print(
        f"{listing.items:,} items, {listing.live:,} live, {listing.blocked:,} blocked; "
        f"{listing.distinct_codes:,} different codes",
        highlight=False,
        soft_wrap=True,
    )


@app.command("add")
def add(
    bundle: Bundle,
    item_id: Annotated[str | None, typer.Option("--id", help="Id of one new item.")] = None,
    title: Annotated[str, typer.Option(help="Its title.")] = "",
    text: Annotated[str, typer.Option(help="Further words about it, for --quantizer.")] = "",
    codes: Annotated[str | None, typer.Option(help="Its codes, one a level: 3,7,1,0.")] = None,
    like: Annotated[str | None, typer.Option(help="Id of an item whose codes it gets.")] = None,
    file: Annotated[
        Path | None, typer.Option(help='Many items: a line of {"id", "title", "text"?, "codes"?, "like"?} each.')
    ] = None,
    quantizer: Annotated[
        Path | None,
        typer.Option(help="DATASET/quantizer: codes from title and text, as the other items got theirs, nearest free."),
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Add items. Without --codes, --like and --quantizer an item gets the codes of the one with the nearest title."""
    from odllm_export.catalog_edit import add_items
    from odllm_export.new_items import NewItem, read_new_items

    if (item_id is None) == (file is None):
        raise typer.BadParameter("say either --id (and --title) of one item, or --file with many")
    if file is not None and (title or text or codes or like):
        raise typer.BadParameter("--title, --text, --codes and --like belong to --id; a file has them in its lines")
    if quantizer is None and text:
        raise typer.BadParameter("--text has no meaning without --quantizer")
    if quantizer is not None and (codes or like):
        raise typer.BadParameter("--quantizer has no meaning with --codes or --like: they say the codes")
    new = read_new_items(file) if file else [NewItem(str(item_id), title, _codes(codes), like, text)]
    coder = None if quantizer is None else _load_quantizer(quantizer)
    with progress_bar("adding") as progress:
        change = add_items(bundle, new, quantizer=coder, out=out, overwrite=overwrite, progress=progress)
    if not json:
        for one in change.placed[:20]:
            near = "" if one.nearness is None else f", nearness of the titles {one.nearness:.2f}"
            alone = "the nearest free ones of its words" if one.source == "quantizer" else "given"
            origin = alone if one.like is None else f"those of {one.like} ({one.like_title}){near}"
            say(f"{one.id}: codes {','.join(map(str, one.codes))}, {origin}")
        if len(change.placed) > 20:
            say(f"… and {len(change.placed) - 20:,} more")
    _print_change(change, json)


@app.command("remove")
def remove(
    bundle: Bundle,
    ids: Ids = None,
    file: IdFile = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Take items out of the bundle: histories that hold them are refused from then on."""
    from odllm_export.catalog_edit import remove_items

    _change(remove_items, "removing", bundle, ids, file, out, overwrite, json)


@app.command("block")
def block(
    bundle: Bundle,
    ids: Ids = None,
    file: IdFile = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Keep items from coming back; histories may still hold them."""
    from odllm_export.catalog_edit import block_items

    _change(block_items, "blocking", bundle, ids, file, out, overwrite, json)


@app.command("unblock")
def unblock(
    bundle: Bundle,
    ids: Ids = None,
    file: IdFile = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Let blocked items come back."""
    from odllm_export.catalog_edit import unblock_items

    _change(unblock_items, "unblocking", bundle, ids, file, out, overwrite, json)


def _change(
    operation: Callable[..., CatalogChange],
    title: str,
    bundle: Path,
    ids: list[str] | None,
    file: Path | None,
    out: Path | None,
    overwrite: bool,
    json: bool,
) -> None:
    """Run an operation on the items that the command line and the file name."""
    item_ids = [*(ids or ()), *(_read_ids(file) if file else ())]
    if not item_ids:
        raise typer.BadParameter("name at least one item, as ITEM_ID or in --file")
    with progress_bar(title) as progress:
        change = operation(bundle, item_ids, out=out, overwrite=overwrite, progress=progress)
    _print_change(change, json)


def _print_change(change: CatalogChange, json: bool) -> None:
    if json:
        import msgspec

        print_json(msgspec.to_builtins(change, enc_hook=str))
        return
    done = ", ".join(f"{number:,} {word}" for word, number in change.counts.items())
    golden = f"; {change.golden_cases} golden lists computed again by the graph" if change.golden_cases else ""
    say(f"{change.folder}: {done}; now {change.items:,} items, {change.live_items:,} live{golden}")


def _load_quantizer(folder: Path) -> Quantizer:
    from lcrec.rqvae.quantizer import load_quantizer
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads=1)
    return load_quantizer(folder)


def _read_ids(path: Path) -> list[str]:
    from odllm_artifact import ArtifactError

    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"cannot read {path}: {error}. It should hold item ids, one a line.") from error


def _codes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--codes is {text!r}; numbers with commas between them are needed") from None
