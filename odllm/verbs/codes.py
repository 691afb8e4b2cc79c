"""`odllm codes`: give every item of a dataset its codes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odllm.console import print_json, print_table, progress_bar, say
from odllm.verbs.data import print_code_statistics
from odllm_artifact import ArtifactError, partial_folder

if TYPE_CHECKING:
    from lcrec.dataset import Dataset
    from lcrec.item_codes import ItemCodesResult
    from lcrec.rqvae.building import TextCodesOptions


class Method(StrEnum):
    """How vectors become codes."""

    kmeans = "kmeans"
    rqvae = "rqvae"


class CollisionsChoice(StrEnum):
    """What becomes of items that share all codes."""

    assign = "assign"
    sinkhorn = "sinkhorn"
    keep = "keep"


_DEFAULT_EMBEDDINGS = "minilm"


def codes(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Dataset folder; codes.json, and quantizer/ with --embeddings, are written into it."
        ),
    ],
    method: Annotated[
        Method, typer.Option(help="kmeans: residual k-means, quick; rqvae: RQ-VAE, learned, as LC-Rec has it.")
    ] = Method.kmeans,
    embeddings: Annotated[
        str | None,
        typer.Option(
            help="Text encoder: minilm, a model folder, a Hugging Face name, or a causal language model such as "
            "smollm2-135m. Default: minilm for rqvae; for kmeans words and users' sequences instead, which have no "
            "codes for new items."
        ),
    ] = None,
    levels: Annotated[int, typer.Option(min=2, max=6, help="Codes an item, 2 to 6.")] = 4,
    width: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=65_536,
            help="Codes a level at most. Default: the next power of two from the square root of the number of "
            "items, at most 256.",
        ),
    ] = None,
    collisions: Annotated[
        CollisionsChoice | None,
        typer.Option(
            help="With --embeddings, for items that share all codes: sinkhorn: up to 20 rounds of other last codes, "
            "as LC-Rec; assign: those rounds, then a code of its own for every item, as far as there are codes; "
            "keep: leave them. Default: assign."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="rqvae: passes over the items. Default: 100.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=2, help="rqvae: items a step. Default: a sixteenth, at most 1024.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="rqvae: at the start, falling to zero. Default: 0.001.")
    ] = None,
    latent: Annotated[int | None, typer.Option(min=1, help="rqvae: dimensions that are coded. Default: 32.")] = None,
    layers: Annotated[
        str | None, typer.Option(help="rqvae: widths of the encoder: 512,256,128,64. Default: by the embedding.")
    ] = None,
    restart_dead: Annotated[
        bool | None,
        typer.Option(
            "--restart-dead/--no-restart-dead",
            help="rqvae: whether codes that no item uses get a new place after an epoch (not in LC-Rec). Default: yes.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random; the same seed, the same codes.")] = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="CPU threads that embed texts and train rqvae; k-means always has one.")
    ] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the codes that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print method, statistics and epochs as JSON.")] = False,
) -> None:
    """Give every item codes by what it is about: level by level, items that are alike share the first ones."""
    from lcrec.dataset import load_dataset

    trained = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate, "restart_dead": restart_dead}
    shape = {"latent": latent, "hidden": _layers(layers), "collisions": collisions and collisions.value}
    _check_options(method, embeddings, trained | shape)
    if (dataset / "codes.json").exists() and not overwrite:
        raise ArtifactError(f"{dataset} has item codes already. Say --overwrite to replace them.")
    data = load_dataset(dataset, with_codes=False)
    if method is Method.kmeans and embeddings is None:
        result = _sequence_codes(dataset, data, levels, width, seed)
        _print_result(dataset, result, result.method, [], as_json)
        return
    options = _text_options(method, trained, shape | {"levels": levels, "width": width, "seed": seed})
    result, recorded, history = _text_codes(dataset, data, embeddings or _DEFAULT_EMBEDDINGS, options, threads)
    _print_result(dataset, result, recorded, history, as_json)


def _check_options(method: Method, embeddings: str | None, options: dict[str, Any]) -> None:
    """Refuse options that the method does not have."""
    if method is Method.rqvae:
        return
    for name, value in options.items():
        if value is None or (name == "collisions" and embeddings is not None):
            continue
        option = "--layers" if name == "hidden" else f"--{name.replace('_', '-')}"
        needed = "--embeddings" if name == "collisions" else "--method rqvae"
        raise typer.BadParameter(f"{option} has no meaning without {needed}")


def _layers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = (0,)
    if min(widths) < 1:
        raise typer.BadParameter(f"--layers is {text!r}; widths with commas between them are needed: 512,256,128,64")
    return widths


def _text_options(method: Method, trained: dict[str, Any], shape: dict[str, Any]) -> TextCodesOptions:
    from lcrec.rqvae.building import TextCodesOptions
    from lcrec.rqvae.training import RqVaeRecipe

    recipe = RqVaeRecipe(**{name: value for name, value in trained.items() if value is not None})
    given = {name: value for name, value in shape.items() if value is not None}
    return TextCodesOptions(method=method.value, recipe=recipe, **given)


def _sequence_codes(folder: Path, data: Dataset, levels: int, width: int | None, seed: int) -> ItemCodesResult:
    """Cluster by words and users' sequences, and write the codes."""
    import shutil

    from lcrec.dataset import save_codes
    from lcrec.item_codes import build_item_codes

    with progress_bar("item codes") as progress:
        result = build_item_codes(data, levels=levels, width=width, seed=seed, progress=progress)
    save_codes(folder, result.codes, data.item_ids, result.method, result.statistics)
    shutil.rmtree(folder / "quantizer", ignore_errors=True)  # of the codes that were there before
    return result


def _text_codes(
    folder: Path, data: Dataset, embeddings: str, options: TextCodesOptions, threads: int
) -> tuple[ItemCodesResult, dict[str, Any], list[dict[str, Any]]]:
    """Embed the texts, fit a quantizer, and write both; what is done before a kill is not done again."""
    from lcrec.embeddings.items import embed_items
    from lcrec.embeddings.loading import load_encoder
    from lcrec.rqvae.building import build_text_codes, save_text_codes
    from lcrec.rqvae.quantizer import FOLDER
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    encoder = load_encoder(embeddings)
    work = partial_folder(folder / FOLDER)
    with progress_bar("embedding") as progress:
        vectors = embed_items(data.items, encoder, work / "vectors.pt", progress)
    with progress_bar("item codes") as progress:
        result, quantizer = build_text_codes(
            data, vectors, encoder.facts, options, checkpoint=work / "training.pt", progress=progress
        )
    return result, save_text_codes(folder, data, result, quantizer), quantizer.card.history


def _print_result(
    dataset: Path, result: ItemCodesResult, method: dict[str, Any], history: list[dict[str, Any]], as_json: bool
) -> None:
    statistics = result.statistics
    if as_json:
        print_json({"method": method, "statistics": statistics} | ({"epochs": history} if history else {}))
        return
    if history:
        _print_epochs(history)
    print_code_statistics(statistics)
    before, changed, moved = (statistics[key] for key in ("collisions_before", "last_code_changed", "moved"))
    if "sinkhorn_rounds" in statistics:
        from lcrec.rqvae.building import collapse_warnings

        say(
            f"collisions before: {before:,}; after {statistics['sinkhorn_rounds']} rounds of Sinkhorn: "
            f"{statistics['collisions_after_sinkhorn']:,}; items then given another last code: {changed:,}, another "
            f"path: {moved:,}"
        )
        for warning in collapse_warnings(statistics):
            say(f"warning: {warning}")
    else:
        say(f"collisions before: {before:,}; items given another last code: {changed:,}, another path: {moved:,}")
    say(f"wrote {dataset / 'codes.json'}")


def _print_epochs(history: list[dict[str, Any]]) -> None:
    """Print how the training went, in at most ten epochs."""
    step = max(1, -(-len(history) // 10))
    shown = sorted({*range(step - 1, len(history), step), len(history) - 1})
    rows = [
        [
            str(number + 1),
            f"{history[number]['reconstruction_error']:.4f}",
            f"{100 * history[number]['collision_rate']:.2f} %",
            " ".join(map(str, history[number]["used"])),
            " ".join(f"{one:.0f}" for one in history[number]["perplexity"]),
            str(history[number]["restarted"]),
        ]
        for number in shown
    ]
    header = ["epoch", "error", "collisions", "used", "perplexity", "restarted"]
    print_table("training, before collisions were resolved", header, rows)
