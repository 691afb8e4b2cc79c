"""The bundle at work: item history in, top-k items out, one call. Needs onnxruntime and numpy only."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import psutil
from numpy.typing import NDArray

from lcrec.catalog import Catalog, hash_item_ids, read_catalog
from odllm_export.bundle import (
    CATALOG,
    ItemRow,
    Manifest,
    check_files,
    read_items,
    read_manifest,
)
from odllm_export.engine import RUNTIME_ERRORS, Engine, Options, check_runtime, open_engine
from odllm_export.errors import BundleError, HistoryError
from odllm_export.graph_contract import empty_cache_shape

if TYPE_CHECKING:
    from odllm_export.session import Session

_COMPARABLE = 50_000

Ranked = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Item rows and their scores, best first."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended item; `score` is the sum of its codes' log-probabilities."""

    item_id: str
    title: str
    score: float


class Recommender:
    """An opened bundle. Calls may come from several threads at once; `close` frees the memory, as does `with`."""

    def __init__(
        self,
        manifest: Manifest,
        catalog: Catalog,
        items: list[ItemRow],
        inference: Engine,
    ) -> None:
        self.manifest = manifest
        self.catalog = catalog
        self.items = items
        self._inference: Engine | None = inference
        self._rows = {item["id"]: row for row, item in enumerate(items)}
        fixed: dict[str, NDArray[Any]] = {
            "kv_cache": np.zeros(empty_cache_shape(manifest), np.float32),
            "cached_tokens": np.zeros(1, np.int64),
            "return_cache": np.zeros(1, np.bool_),
            **catalog.arrays(),
        }
        self._fixed_feed = {name: ort_value(array) for name, array in fixed.items()}

    @classmethod
    def open(cls, folder: Path, options: Options | None = None) -> Recommender:
        """Open a bundle by path; everything is checked before anything large is loaded.

        Args:
            folder: the bundle.
            options: how.

        Raises:
            BundleError: damaged, too new, not of one piece, too much for the installed runtime, or larger than the
                memory that is free.
        """
        options = options or Options()
        manifest = read_manifest(folder)
        check_runtime(manifest.graph.onnxruntime, folder)
        check_files(folder, manifest)
        free = psutil.virtual_memory().available
        if options.check_memory and manifest.expected_peak_memory_bytes > free:
            raise BundleError(
                f"{folder} needs about {manifest.expected_peak_memory_bytes >> 20} MiB at its peak and "
                f"{free >> 20} MiB are free. Close other programs, or export with a smaller keep ratio or precision."
            )
        catalog, items = read_catalog_and_items(folder, manifest)
        return cls(manifest, catalog, items, open_engine(folder, manifest, catalog, options))

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the model; calls that are running end as they would have."""
        self._inference = None

    @property
    def inference(self) -> Engine:
        """The runtime's session, or what behaves like one.

        Raises:
            BundleError: the recommender was closed.
        """
        if self._inference is None:
            raise BundleError("this recommender is closed; open the bundle again")
        return self._inference

    def session(self) -> Session:
        """Return a session, which keeps what it computed for one user's growing history."""
        from odllm_export.session import Session

        return Session(self)

    def rows_of(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of items by id.

        Raises:
            HistoryError: an id that the bundle does not know, with the nearest known ones.
        """
        for item in item_ids:
            if item not in self._rows:
                # Comparing with every id takes seconds where there are a million.
                near = difflib.get_close_matches(item, self._rows, n=3) if len(self._rows) <= _COMPARABLE else []
                hint = f" Did you mean {', '.join(near)}?" if near else ""
                raise HistoryError(f"item {item!r} is not in this bundle's {len(self.items)} items.{hint}")
        return np.array([self._rows[item] for item in item_ids], dtype=np.int64)

    def recommend(
        self,
        history: Sequence[str],
        *,
        top_k: int | None = None,
        blocked: Collection[str] = (),
        exclude_seen: bool = False,
    ) -> list[Recommendation]:
        """Return the best next items for a history: `top_k` distinct ones, fewer only if fewer are live.

        Args:
            history: item ids, oldest first; the last `manifest.prompt.max_items` are read.
            top_k: how many, at most `num_beams`; the manifest's `top_k` if not given.
            blocked: item ids that must not come back.
            exclude_seen: block the whole history as well, also what lies before the window that is read.

        Raises:
            HistoryError: an empty history, an unknown id, or a `top_k` beyond the search's beams.
        """
        return self.answer(self.recommend_rows, history, top_k=top_k, blocked=blocked, exclude_seen=exclude_seen)

    def answer(
        self,
        ask: Callable[[NDArray[np.int64], NDArray[np.int64]], Ranked],
        history: Sequence[str],
        *,
        top_k: int | None,
        blocked: Collection[str],
        exclude_seen: bool,
    ) -> list[Recommendation]:
        """Put a question in ids to `ask`, which speaks rows, and return the answer with titles."""
        beams = self.manifest.search.num_beams
        top_k = self.manifest.search.top_k if top_k is None else top_k
        if not 1 <= top_k <= beams:
            raise HistoryError(
                f"top_k is {top_k}; this bundle searches with {beams} beams and returns 1 to {beams} items"
            )
        seen = self.rows_of(history)
        hidden = self.rows_of(sorted(blocked))
        rows, scores = ask(seen, np.concatenate([hidden, seen]) if exclude_seen else hidden)
        return [
            Recommendation(self.items[row]["id"], self.items[row]["title"], float(score))
            for row, score in zip(rows[:top_k], scores[:top_k], strict=True)
        ]

    def recommend_rows(self, history: NDArray[np.int64], blocked: NDArray[np.int64] | None = None) -> Ranked:
        """Return item rows and scores, best first; both have `num_beams` entries, fewer if fewer items are live.

        Args:
            history: `[items]` rows, oldest first.
            blocked: `[items]` rows that must not come back.

        Raises:
            HistoryError: the history is empty.
            BundleError: the graph cannot be run, or what it computes are no numbers.
        """
        items, scores = self.run(history, blocked, ["items", "scores"], {})
        return self.ranked(items, scores, blocked)

    def ranked(
        self, items: onnxruntime.OrtValue, scores: onnxruntime.OrtValue, blocked: NDArray[np.int64] | None
    ) -> Ranked:
        """Return the graph's results as arrays.

        Raises:
            BundleError: the list is shorter than it must be: scores that are no numbers do not rank.
        """
        live = int(self.catalog.live_items[0])
        if blocked is not None:
            live -= int(self.catalog.live_items[self.catalog.item_path[np.unique(blocked), -1]].sum())
        rows, values = items.numpy(), scores.numpy()
        if len(rows) < min(self.manifest.search.num_beams, live) or np.isnan(values).any():
            raise BundleError(
                f"bundle {self.manifest.name!r} computes scores that are no numbers: its weights are damaged. "
                "Copy or export the bundle again."
            )
        return rows, values

    def run(
        self,
        history: NDArray[np.int64],
        blocked: NDArray[np.int64] | None,
        outputs: list[str],
        cache: dict[str, onnxruntime.OrtValue],
    ) -> list[onnxruntime.OrtValue]:
        """Run the graph once.

        Args:
            history: `[items]` rows, oldest first.
            blocked: `[items]` rows that must not come back.
            outputs: names of the wanted outputs.
            cache: the cache's inputs, where they are not those of a call without one.

        Raises:
            HistoryError: the history is empty.
            BundleError: the graph cannot be run: it is damaged, or the memory is not enough.
        """
        if not len(history):
            raise HistoryError("the history is empty; a recommendation needs at least one item")
        blocked = np.zeros(0, np.int64) if blocked is None else blocked
        feed = self._fixed_feed | {"history": ort_value(history), "blocked": ort_value(blocked)} | cache
        try:
            return self.inference.run_with_ort_values(outputs, feed)
        except RUNTIME_ERRORS as error:
            raise BundleError(
                f"the graph of bundle {self.manifest.name!r} cannot be run: {error}. "
                "Copy the bundle again, or free some memory."
            ) from error


def ort_value(array: NDArray[Any]) -> onnxruntime.OrtValue:
    """Return an array as the runtime's value, without copying it."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def read_catalog_and_items(folder: Path, manifest: Manifest) -> tuple[Catalog, list[ItemRow]]:
    """Read the catalogue and the item table, and check that they, the prompt and the head belong together.

    Raises:
        BundleError: they do not, or the item table is damaged.
        CatalogError: the catalogue is damaged.
    """
    catalog = read_catalog(folder / CATALOG)
    items = read_items(folder)
    if hash_item_ids([item["id"] for item in items]) != catalog.ids_sha256 or len(items) != manifest.items:
        raise BundleError(f"the item table of {folder} is not the one its catalogue was built for")
    if catalog.code_sizes != manifest.prompt.code_sizes:
        raise BundleError(
            f"the catalogue of {folder} has code sizes {catalog.code_sizes}, the model {manifest.prompt.code_sizes}"
        )
    return catalog, items
