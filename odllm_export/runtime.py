"""The bundle at work: item history in, top-k items out, one call. Needs onnxruntime and numpy only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import onnxruntime
import psutil
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from lcrec.catalog import Catalog, hash_item_ids, read_catalog
from odllm_export.bundle import (
    CATALOG,
    FORM_FILES,
    ORT_GRAPH,
    ItemRow,
    Manifest,
    check_files,
    read_items,
    read_manifest,
)
from odllm_export.errors import BundleError, HistoryError
from odllm_export.graph_contract import check_facts, check_inputs, empty_cache_shape

if TYPE_CHECKING:
    from odllm_export.session import Session

PROVIDERS: Mapping[str, str] = {"cpu": "CPUExecutionProvider"}
"""Execution providers by the name that the command line uses."""

_COMPARABLE = 50_000

Ranked = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Item rows and their scores, best first."""

_RUNTIME_ERRORS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NoSuchFile,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
    UnicodeDecodeError,
)
"""What the runtime raises for a graph that it cannot open or run; they have no common root but Exception.

The last where its message quotes a damaged name.
"""


class Engine(Protocol):
    """What runs a call: the runtime's session of a whole recommender's graph, or what behaves like one."""

    def run_with_ort_values(
        self, outputs: Sequence[str], feed: Mapping[str, onnxruntime.OrtValue]
    ) -> list[onnxruntime.OrtValue]:
        """Return the named outputs."""

    def get_session_options(self) -> onnxruntime.SessionOptions:
        """Return what the graph was opened with."""

    def end_profiling(self) -> str:
        """End the profile and return its path."""


class Options(msgspec.Struct, frozen=True):
    """How a bundle is opened.

    Attributes:
        provider: a key of `PROVIDERS`.
        threads: of the runtime's intra-op pool; they never spin while they wait.
        prepack: repack the weights at load: calls are faster, and the weights are in memory twice while it loads and
            no longer shared with the file. None: as the manifest says. False leaves them memory-mapped.
        arena: keep freed activations for the next call.
        check_memory: refuse a bundle that is larger than the memory that is free.
        profile_prefix: where the runtime writes its profile; none if empty.
        ort_format: open `recommend.ort`, which holds the weights inside, instead of the ONNX graph.
    """

    provider: str = "cpu"
    threads: int = 1
    prepack: bool | None = None
    arena: bool = True
    check_memory: bool = True
    profile_prefix: str = ""
    ort_format: bool = False


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
        _check_runtime(manifest.graph.onnxruntime, folder)
        check_files(folder, manifest)
        free = psutil.virtual_memory().available
        if options.check_memory and manifest.expected_peak_memory_bytes > free:
            raise BundleError(
                f"{folder} needs about {manifest.expected_peak_memory_bytes >> 20} MiB at its peak and "
                f"{free >> 20} MiB are free. Close other programs, or export with a smaller keep ratio or precision."
            )
        catalog, items = read_catalog_and_items(folder, manifest)
        return cls(manifest, catalog, items, _open_engine(folder, manifest, catalog, options))

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
        except _RUNTIME_ERRORS as error:
            raise BundleError(
                f"the graph of bundle {self.manifest.name!r} cannot be run: {error}. "
                "Copy the bundle again, or free some memory."
            ) from error


def ort_value(array: NDArray[Any]) -> onnxruntime.OrtValue:
    """Return an array as the runtime's value, without copying it."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return the options that a phone wants: a fixed number of threads that do not spin while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Where a processor has no exact product of uint8 and int8, sums in between overflow; this asks for exact ones.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _check_runtime(needed: str, folder: Path) -> None:
    """Refuse a runtime that is too old, before it fails in the middle of the first call."""
    installed = onnxruntime.__version__
    if re.fullmatch(r"\d+\.\d+(\.\d+)?", needed) is None:
        raise BundleError(f"{folder} is damaged: its manifest asks for onnxruntime {needed!r}. Copy the bundle again.")
    if _version(installed) < _version(needed):
        raise BundleError(f"{folder} needs onnxruntime {needed} or later; {installed} is installed. Update it.")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def _open_engine(folder: Path, manifest: Manifest, catalog: Catalog, how: Options) -> Engine:
    *graphs, _ = FORM_FILES[manifest.graph.form]
    if how.ort_format:
        if ORT_GRAPH not in manifest.files:
            raise BundleError(f"{folder} holds no {ORT_GRAPH}; export it with --ort-format")
        graphs = [ORT_GRAPH]
    sessions = [_open_inference(folder / graph, manifest, how) for graph in graphs]
    for session, graph in zip(sessions, graphs, strict=True):
        if manifest.graph.fixed is None:
            check_inputs(session, folder / graph)
        check_facts(session, manifest, folder / graph)
    if manifest.graph.fixed is None:
        (engine,) = sessions
        return engine
    from odllm_export.steps import StepsEngine

    prefill, step = sessions
    facts = manifest.prompt, manifest.search, manifest.graph, manifest.graph.fixed
    return StepsEngine(*facts, catalog, (prefill, step))


def _open_inference(graph: Path, manifest: Manifest, how: Options) -> onnxruntime.InferenceSession:
    if how.provider not in PROVIDERS:
        raise BundleError(f"provider {how.provider!r} is not one of {', '.join(PROVIDERS)}")
    name = PROVIDERS[how.provider]
    if name not in onnxruntime.get_available_providers():
        raise BundleError(f"the installed onnxruntime has no {name}; it would silently run on the CPU instead")
    options = session_options(how.threads)
    options.log_severity_level = 4  # what it would say of a damaged graph is in the error that it raises
    options.enable_cpu_mem_arena = how.arena
    if not (manifest.graph.prepack if how.prepack is None else how.prepack):
        options.add_session_config_entry("session.disable_prepacking", "1")
    if how.profile_prefix:
        options.enable_profiling = True
        options.profile_file_prefix = f"{how.profile_prefix}_{graph.stem}"
    try:
        # Without fallback: it would print on standard output and try the same once more.
        return onnxruntime.InferenceSession(str(graph), sess_options=options, providers=[name], enable_fallback=0)
    except _RUNTIME_ERRORS as error:
        raise BundleError(f"onnxruntime {onnxruntime.__version__} cannot open {graph}: {error}") from error


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
