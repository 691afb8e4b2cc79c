"""The bundle at work: item history in, top-k items out, one call. Needs onnxruntime and numpy only."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from lcrec.catalog import Catalog, hash_item_ids, read_catalog
from odllm_export.bundle import CATALOG, GRAPH, Manifest, check_files, read_items, read_manifest
from odllm_export.errors import BundleError, HistoryError

PROVIDERS: Mapping[str, str] = {"cpu": "CPUExecutionProvider"}
"""Execution providers by the name that the command line uses."""


_RUNTIME_ERRORS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NoSuchFile,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)
"""What the runtime raises for a graph that it cannot open; they have no common root but Exception."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended item; `score` is the sum of its codes' log-probabilities."""

    item_id: str
    title: str
    score: float


class Recommender:
    """An opened bundle. Calls may come from several threads at once."""

    def __init__(
        self,
        manifest: Manifest,
        catalog: Catalog,
        items: list[dict[str, str]],
        session: onnxruntime.InferenceSession,
    ) -> None:
        self.manifest = manifest
        self.catalog = catalog
        self.items = items
        self.session = session
        self._rows = {item["id"]: row for row, item in enumerate(items)}
        self._catalog_feed = catalog.arrays()

    @classmethod
    def open(
        cls, folder: Path, *, provider: str = "cpu", threads: int = 1, profile_prefix: Path | None = None
    ) -> Recommender:
        """Open a bundle by path; everything is checked before anything large is loaded.

        Args:
            folder: the bundle.
            provider: a key of `PROVIDERS`.
            threads: of the runtime's intra-op pool.
            profile_prefix: where the runtime writes its profile, if wanted.

        Raises:
            BundleError: damaged, too new, not of one piece, too much for the installed runtime, or larger than the
                memory that is free.
        """
        manifest = read_manifest(folder)
        _check_runtime(manifest.graph.onnxruntime, folder)
        check_files(folder, manifest)
        free = psutil.virtual_memory().available
        if manifest.expected_peak_memory_bytes > free:
            raise BundleError(
                f"{folder} needs about {manifest.expected_peak_memory_bytes >> 20} MiB at its peak and "
                f"{free >> 20} MiB are free. Close other programs, or export with a smaller keep ratio."
            )
        catalog, items = _read_catalog(folder, manifest)
        session = _open_session(folder / GRAPH, provider, threads, profile_prefix)
        return cls(manifest, catalog, items, session)

    def rows_of(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of items by id.

        Raises:
            HistoryError: an id that the bundle does not know, with the nearest known ones.
        """
        for item in item_ids:
            if item not in self._rows:
                near = difflib.get_close_matches(item, self._rows, n=3)
                hint = f" Did you mean {', '.join(near)}?" if near else ""
                raise HistoryError(f"item {item!r} is not in this bundle's {len(self.items)} items.{hint}")
        return np.array([self._rows[item] for item in item_ids], dtype=np.int64)

    def recommend(
        self, history: Sequence[str], *, top_k: int | None = None, blocked: Collection[str] = ()
    ) -> list[Recommendation]:
        """Return the best next items for a history.

        Args:
            history: item ids, oldest first; the last `manifest.prompt.max_items` are read.
            top_k: how many, at most `num_beams`; the manifest's `top_k` if not given.
            blocked: item ids that must not come back, such as those seen already.

        Raises:
            HistoryError: an empty history, an unknown id, or a `top_k` beyond the search's beams.
        """
        beams = self.manifest.search.num_beams
        top_k = self.manifest.search.top_k if top_k is None else top_k
        if not 1 <= top_k <= beams:
            raise HistoryError(
                f"top_k is {top_k}; this bundle searches with {beams} beams and returns 1 to {beams} items"
            )
        rows, scores = self.recommend_rows(self.rows_of(history), self.rows_of(sorted(blocked)))
        return [
            Recommendation(self.items[row]["id"], self.items[row]["title"], float(score))
            for row, score in zip(rows[:top_k], scores[:top_k], strict=True)
        ]

    def recommend_rows(
        self, history: NDArray[np.int64], blocked: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return item rows and scores, best first; both have `num_beams` entries, fewer if fewer items are live.

        Args:
            history: `[items]` rows, oldest first.
            blocked: `[items]` rows that must not come back.

        Raises:
            HistoryError: the history is empty.
        """
        if not len(history):
            raise HistoryError("the history is empty; a recommendation needs at least one item")
        blocked = np.zeros(0, np.int64) if blocked is None else blocked
        feed = {"history": history, "blocked": blocked, **self._catalog_feed}
        rows, scores = self.session.run(["items", "scores"], feed)
        return rows, scores


def session_options(threads: int, profile_prefix: Path | None = None) -> onnxruntime.SessionOptions:
    """Return the options that a phone wants: a fixed number of threads that do not spin while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    return options


def _check_runtime(needed: str, folder: Path) -> None:
    """Refuse a runtime that is too old, before it fails in the middle of the first call."""
    installed = onnxruntime.__version__
    if _version(installed) < _version(needed):
        raise BundleError(f"{folder} needs onnxruntime {needed} or later; {installed} is installed. Update it.")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def _open_session(
    graph: Path, provider: str, threads: int, profile_prefix: Path | None
) -> onnxruntime.InferenceSession:
    if provider not in PROVIDERS:
        raise BundleError(f"provider {provider!r} is not one of {', '.join(PROVIDERS)}")
    name = PROVIDERS[provider]
    if name not in onnxruntime.get_available_providers():
        raise BundleError(f"the installed onnxruntime has no {name}; it would silently run on the CPU instead")
    try:
        return onnxruntime.InferenceSession(
            str(graph), sess_options=session_options(threads, profile_prefix), providers=[name]
        )
    except _RUNTIME_ERRORS as error:
        raise BundleError(f"onnxruntime {onnxruntime.__version__} cannot open {graph}: {error}") from error


def _read_catalog(folder: Path, manifest: Manifest) -> tuple[Catalog, list[dict[str, str]]]:
    """Read the catalogue and the item table, and check that they, the prompt and the head belong together."""
    catalog = read_catalog(folder / CATALOG)
    items = read_items(folder)
    if hash_item_ids([item["id"] for item in items]) != catalog.ids_sha256 or len(items) != manifest.items:
        raise BundleError(f"the item table of {folder} is not the one its catalogue was built for")
    if catalog.code_sizes != manifest.prompt.code_sizes:
        raise BundleError(
            f"the catalogue of {folder} has code sizes {catalog.code_sizes}, the model {manifest.prompt.code_sizes}"
        )
    return catalog, items
