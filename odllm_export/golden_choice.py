"""Who computes a new bundle's golden lists: the torch model, the bundle's own graph, or nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import psutil

from lcrec.catalog import Catalog
from lcrec.dataset import Dataset
from odllm_export.bundle import Manifest
from odllm_export.errors import ExportError
from odllm_export.golden import MIN_OVERLAP, bundle_lists, golden_file, sample_histories
from odllm_export.oracle import LARGE_BYTES, model_results
from odllm_export.precision import find_precision

GoldenBy = Literal["auto", "model", "graph", "none"]

CHOICES: tuple[GoldenBy, ...] = ("auto", "model", "graph", "none")


def check_golden(by: GoldenBy, count: int, precision: str) -> None:
    """Refuse a choice that cannot be met, before anything is computed.

    Raises:
        ExportError: it cannot.
    """
    if by not in CHOICES:
        raise ExportError(f"golden_by is {by!r}; {', '.join(CHOICES)} are possible")
    if count < 1:
        raise ExportError(f"golden is {count}; a bundle carries at least one history to test itself with")
    if by == "model" and not find_precision(precision).exact:
        raise ExportError(
            f"golden lists of the model are not those of {precision} weights, which are rounded; let the graph "
            "compute them, or export fp32"
        )


def golden_lists(
    by: GoldenBy, count: int, model_folder: Path, folder: Path, manifest: Manifest, catalog: Catalog, dataset: Dataset
) -> dict[str, Any] | None:
    """Return the content of `golden.json`, None if there is to be none.

    `auto`: an exact bundle's lists are the model's, which runs a block at a time where it is large; a rounded one's
    are the graph's, unless to open it would take more than `LARGE_BYTES` or the free memory.

    Args:
        by: who computes them.
        count: histories.
        model_folder: the model.
        folder: the bundle, complete but for this file.
        manifest: of the bundle.
        catalog: of the bundle.
        dataset: whose users' histories are asked about.
    """
    who = _who(manifest) if by == "auto" else by
    if who == "none":
        return None
    cases = sample_histories(dataset, count)
    if who == "graph":
        overlap = 1.0 if find_precision(manifest.model.precision).exact else MIN_OVERLAP
        return golden_file("graph", dataset.item_ids, cases, bundle_lists(folder, cases), min_overlap=overlap)
    results = model_results(model_folder, manifest, catalog, cases)
    return golden_file("model", dataset.item_ids, cases, [(result.rows, result.scores) for result in results])


def _who(manifest: Manifest) -> Literal["model", "graph", "none"]:
    if find_precision(manifest.model.precision).exact:
        return "model"
    most = min(LARGE_BYTES, psutil.virtual_memory().available)
    return "graph" if manifest.expected_peak_memory_bytes <= most else "none"
