"""`odllm data add-items`: new items into a dataset, with codes by the stored quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Overwrite, Threads
from odllm_artifact import ArtifactError, resolve_output

if TYPE_CHECKING:
    from lcrec.cold_start import Extension

_SHOWN = 20
"""Items and duplicates that are printed one by one."""


def add_items(
    dataset: Annotated[
        Path, typer.Argument(metavar="DIR", help="Dataset folder whose codes came from texts (`odllm codes`).")
    ],
    new: Annotated[
        Path,
        typer.Argument(
            metavar="NEW", help='Items: a .jsonl with a line of {"id", "title", "text"?} each, or a table with columns.'
        ),
    ],
    out: Annotated[Path, typer.Option(help="Dataset folder to write.")],
    share: Annotated[
        bool,
        typer.Option("--share", help="New items may share an old item's codes. Default: the nearest free last code."),
    ] = False,
    embeddings: Annotated[
        str | None, typer.Option(help="Where the text encoder of the codes is now. Default: where it was.")
    ] = None,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Add items that nobody has used yet: codes from their words, the old items' codes untouched."""
    import msgspec

    from lcrec.cold_start import extend, save_extension
    from lcrec.dataset import load_dataset
    from lcrec.embeddings.loading import load_encoder
    from lcrec.importers.new_items import read_new_items
    from lcrec.rqvae.quantizer import dataset_quantizer
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    if out.resolve() == dataset.resolve():
        raise ArtifactError(f"--out is the dataset itself; a model trained on {dataset} needs it as it is")
    resolve_output(out, overwrite=overwrite)
    items, data, quantizer = read_new_items(new), load_dataset(dataset), dataset_quantizer(dataset)
    encoder = None if embeddings is None else load_encoder(embeddings)
    with progress_bar("adding") as progress:
        extension = extend(data, items, quantizer, share=share, encoder=encoder, progress=progress)
    save_extension(extension, dataset, out, overwrite=overwrite)
    if json:
        print_json({"out": str(out), **extension.counts()} | msgspec.to_builtins(_lists(extension)))
        return
    _print(extension, out)


def _lists(extension: Extension) -> dict[str, object]:
    return {"placed": extension.placed, "duplicates": extension.duplicates}


def _print(extension: Extension, out: Path) -> None:
    for one in extension.duplicates[:_SHOWN]:
        what = "its id is there already" if one.same == "id" else f"the same words as {one.of}"
        say(f"{one.id}: left out, {what}")
    for placed in extension.placed[:_SHOWN]:
        codes, nearest = (",".join(map(str, part)) for part in (placed.codes, placed.nearest))
        taken = "" if codes == nearest else f" ({nearest} are taken)"
        like = f"{placed.like} ({placed.like_title})" if placed.like_title else placed.like
        say(f"{placed.item.id}: codes {codes}{taken}, {placed.in_common} in common with {like}")
    hidden = len(extension.duplicates[_SHOWN:]) + len(extension.placed[_SHOWN:])
    if hidden:
        say(f"… and {hidden:,} more")
    counts = extension.counts()
    left_out = f"{counts['same_id']:,} with a known id and {counts['same_text']:,} with known words left out"
    say(f"{out}: {counts['added']:,} items added, {left_out}; now {counts['items']:,} items")
