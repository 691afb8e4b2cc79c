"""Options that several verbs share, worded once."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output folder if it exists.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Scoring = Annotated[
    str, typer.Option(help="codes: log-softmax over the legal next codes; vocab: over the whole vocabulary.")
]
