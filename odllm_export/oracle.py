"""What the torch model answers to a bundle's questions: the lists that a bundle is held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from compression.checkpoint import load_model
from lcrec.catalog import Catalog
from lcrec.search import SearchResult, search
from odllm_export.bundle import Manifest
from odllm_export.golden import Case
from odllm_export.streamed_model import streamed_model
from odllm_export.tensors import parameter_count

LARGE_BYTES = 2 << 30
"""What an export holds of a model at most, unasked: larger ones run a block at a time, or not at all."""


def model_results(
    model_folder: Path, manifest: Manifest, catalog: Catalog, cases: Iterable[Case]
) -> Iterator[SearchResult]:
    """Yield the model's own results; a model beyond `LARGE_BYTES` in float32 runs a block at a time.

    One history at a time, as the graph runs them: a padded batch is faster, but adds in another order.
    """
    item_codes = catalog.codes
    with _opened(model_folder) as model:
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


def _opened(folder: Path) -> AbstractContextManager[Any]:
    large = 4 * parameter_count(folder) > LARGE_BYTES
    return streamed_model(folder) if large else nullcontext(load_model(folder))
