"""`odllm export-processor`: constrained decoding as a piece for other decoders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, say
from odllm.options import Json, Overwrite, Scoring


def export_processor(
    model: Annotated[Path, typer.Argument(help="Model folder whose recommender.json says where the code tokens are.")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder whose items may be written.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    scoring: Scoring = "vocab",
    end_token: Annotated[
        int | None, typer.Option(min=0, help="Token id that a complete item is followed by, if any.")
    ] = None,
    catalog_inputs: Annotated[
        bool, typer.Option("--catalog-inputs", help="Take the catalogue's arrays as inputs instead of embedding them.")
    ] = False,
    behind: Annotated[
        Path | None, typer.Option(help="A decoder's ONNX file: also write model.onnx, with the processor behind it.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a logits processor: logits and trie state in, masked log-probabilities and next states out."""
    from lcrec.dataset import load_dataset
    from lcrec.dataset_match import check_codes
    from odllm_export.processor import export_processor as write

    data = load_dataset(dataset)
    check_codes(model, data, dataset)
    facts = write(
        model,
        data,
        out,
        scoring=scoring,
        end_token=end_token,
        embed=not catalog_inputs,
        behind=behind,
        overwrite=overwrite,
    )
    if json:
        print_json(facts)
    else:
        say(f"{out}: {', '.join(facts['files'])}; {facts['items']:,} items in {facts['levels']} levels")
