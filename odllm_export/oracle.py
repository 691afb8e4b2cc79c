"""What the torch model answers to a bundle's questions: the lists that a bundle is held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from compression.checkpoint import load_model
from lcrec.catalog import Catalog
from lcrec.search import SearchResult, search
from odllm_export.bundle import Manifest
from odllm_export.golden import Case


def model_results(
    model_folder: Path, manifest: Manifest, catalog: Catalog, cases: Iterable[Case]
) -> Iterator[SearchResult]:
    """Yield the model's own results.

    One history at a time, as the graph runs them: a padded batch is faster, but adds in another order.
    """
    model, item_codes = load_model(model_folder), catalog.codes
    for history, blocked in cases:
        yield from search(
            model,
            [manifest.prompt.encode(item_codes[history])],
            catalog,
            manifest.prompt.first_code_token,
            num_beams=manifest.search.num_beams,
            scoring=manifest.search.scoring,  # type: ignore[arg-type]
            blocked=[blocked.tolist()],
        )
