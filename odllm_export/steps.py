"""A bundle of form `steps` at work: two decoder graphs of fixed shapes, and the search around them in numpy.

The prompt runs in chunks, then every level is one step of all beams. Keys and values lie in buffers of this module:
a run reads all of their columns, the mask says which of them count, and what it returns is written behind them. Columns
are labelled with trie nodes as in graph/passes.py: the prompt's with the root, a beam's with its node, and a token
sees the columns whose node lies on its own path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lcrec.catalog import Catalog
from lcrec.prompt import Prompt
from odllm_export.bundle import FixedSizes, GraphFacts, SearchFacts
from odllm_export.trie_search import Beams, TrieSearch

Float = NDArray[np.float32]

UNSEEN = np.float32(-1e4)
"""What the mask adds where a token does not see a column: nothing is left of it behind the softmax, and half precision
can hold it."""

_EMPTY, _ROOT = -1, 0


@dataclass(frozen=True)
class Buffers:
    """Keys and values of one call, and the trie node of each column.

    Attributes:
        columns: by input name, `[1, kv_heads, columns, head_size]`.
        labels: `[columns]`.
    """

    columns: dict[str, Float]
    labels: NDArray[np.int64]

    @classmethod
    def empty(cls, kv_cache: Sequence[int], columns: int) -> Buffers:
        """Return buffers without a token, for a manifest's `graph.kv_cache` and `graph.fixed.columns`."""
        layers, _, kv_heads, head_size = kv_cache
        names = [name for layer in range(layers) for name in (f"keys_{layer}", f"values_{layer}")]
        arrays = {name: np.zeros((1, kv_heads, columns, head_size), np.float32) for name in names}
        return cls(arrays, np.full(columns, _EMPTY))

    def write(self, at: int, tokens: Sequence[Float], labels: NDArray[np.integer]) -> None:
        """Write the first `len(labels)` of a run's new keys and values, in the order of the buffers."""
        count = max(0, min(len(labels), len(self.labels) - at))  # nothing follows the last step: it has no columns
        for buffer, new in zip(self.columns.values(), tokens, strict=True):
            buffer[:, :, at : at + count] = new[:, :, :count]
        self.labels[at : at + count] = labels[:count]

    def first(self, tokens: int) -> Float:
        """Return the first columns as a cache, `[layers, 2, kv_heads, tokens, head_size]`."""
        parts = [buffer[0, :, :tokens] for buffer in self.columns.values()]
        return np.stack(parts).reshape(len(parts) // 2, 2, *parts[0].shape)


class StepsEngine:
    """Answers what a graph of form `loop` does, input by input and output by output, with two graphs and numpy."""

    def __init__(
        self,
        prompt: Prompt,
        search: SearchFacts,
        graph: GraphFacts,
        sizes: FixedSizes,
        catalog: Catalog,
        sessions: tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession],
    ) -> None:
        self._prompt, self._search, self._graph, self._catalog = prompt, search, graph, catalog
        self._sizes = sizes
        self._prefill, self._step = sessions
        self._codes = catalog.item_code_rows - catalog.level_offsets
        self._row_of = {token: row for row, token in enumerate(graph.embedding_rows)}
        self._code_offset = self._rows_of(np.array([prompt.first_code_token]))[0]

    def recommend(
        self,
        history: NDArray[np.int64],
        blocked: NDArray[np.int64],
        cache: Float | None = None,
    ) -> tuple[NDArray[np.int64], Float, Buffers]:
        """Return item rows, scores, and the buffers, whose first columns are the prompt's.

        Args:
            history: `[items]` rows, oldest first.
            blocked: `[items]` rows that must not come back.
            cache: `[layers, 2, kv_heads, tokens, head_size]` of the prompt's first tokens.
        """
        ids = self._rows_of(self._prompt.encode(self._codes[history[-self._prompt.max_items :]]))
        buffers = Buffers.empty(self._graph.kv_cache, self._sizes.columns)
        cached = 0
        if cache is not None:
            cached = min(cache.shape[3], len(ids) - 1)  # at least one token of the prompt is left to run
            parts = cache[:, :, :, :cached].reshape(-1, 1, cache.shape[2], cached, cache.shape[4])
            buffers.write(0, list(parts), np.full(cached, _ROOT))
        search = TrieSearch.without(
            blocked, self._catalog, self._search.num_beams, self._search.scoring, self._code_offset
        )
        logits = self._run_prompt(ids, cached, buffers)
        beams = search.grow(Beams.root(), logits)
        for level in range(1, self._catalog.levels):
            if len(beams.score):
                beams = search.grow(beams, self._run_step(beams, len(ids), level, buffers))
        rows, scores = search.items(beams)
        return rows, scores, buffers

    def run_with_ort_values(
        self, outputs: Sequence[str], feed: Mapping[str, onnxruntime.OrtValue]
    ) -> list[onnxruntime.OrtValue]:
        """Take the inputs of a `loop` graph and return its outputs; the catalogue is the one given at the start."""
        given = {name: feed[name].numpy() for name in ("history", "blocked", "cached_tokens", "return_cache")}
        cache, cached = None, int(given["cached_tokens"][0])
        if cached:
            cache = feed["kv_cache"].numpy()[:, :, :, :cached]
        rows, scores, buffers = self.recommend(given["history"], given["blocked"], cache)
        kept = self._prompt.reusable(len(given["history"])) if given["return_cache"][0] else 0
        found: dict[str, NDArray[Any]] = {"items": rows, "scores": scores, "next_kv_cache": buffers.first(kept)}
        return [_owned(found[name]) for name in outputs]

    def get_session_options(self) -> onnxruntime.SessionOptions:
        """Return the options that both graphs were opened with."""
        return self._prefill.get_session_options()

    def end_profiling(self) -> str:
        """End both sessions' profiles and return the path of one file with the events of both.

        The step's nodes are named `step/…`: the graphs share names.
        """
        prefill, step = (Path(session.end_profiling()) for session in (self._prefill, self._step))
        steps = [event | {"name": f"step/{event['name']}"} for event in json.loads(step.read_text())]
        prefill.write_text(json.dumps(json.loads(prefill.read_text()) + steps))
        step.unlink()
        return str(prefill)

    def _rows_of(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self._row_of:
            return tokens
        return np.array([self._row_of[token] for token in tokens.tolist()], np.int64)

    def _run_prompt(self, ids: NDArray[np.int64], cached: int, buffers: Buffers) -> Float:
        """Run the prompt behind its cached tokens; return the logits of its last token, `[1, rows]`."""
        for at in range(cached, len(ids), self._sizes.chunk):
            tokens = ids[at : at + self._sizes.chunk]
            labels = np.full(len(tokens), _ROOT)
            paths = np.full((len(tokens), 1), _ROOT)
            among = np.tril(np.ones((len(tokens), len(tokens)), np.bool_))
            feed = self._feed(self._sizes.chunk, tokens, at + np.arange(len(tokens)), paths, among, buffers)
            feed["last"] = np.array([len(tokens) - 1], np.int32)
            logits, *new = self._run(self._prefill, feed, buffers)
            buffers.write(at, new, labels)
        return logits[0]

    def _run_step(self, beams: Beams, prompt_tokens: int, level: int, buffers: Buffers) -> Float:
        """Run the beams' tokens; return their logits, `[beams, rows]`."""
        count = len(beams.nodes)
        tokens = self._catalog.node_code[beams.nodes] + self._code_offset
        positions = np.full(count, prompt_tokens + level - 1)  # the first code stands right behind the prompt
        among = np.eye(count, dtype=np.bool_)
        feed = self._feed(self._search.num_beams, tokens, positions, beams.path, among, buffers)
        logits, *new = self._run(self._step, feed, buffers)
        buffers.write(prompt_tokens + (level - 1) * self._search.num_beams, new, beams.nodes)
        return logits[0, :count]

    def _feed(
        self,
        rows: int,
        ids: NDArray[np.integer],
        positions: NDArray[np.integer],
        paths: NDArray[np.integer],
        among: NDArray[np.bool_],
        buffers: Buffers,
    ) -> dict[str, NDArray[Any]]:
        """Return a run's inputs: tokens, padded to `rows`, and a mask of what they see of the past and each other.

        The padding repeats the last token, sight included: rows that nobody reads, with nothing unusual in them.
        """
        past = (paths[:, :, None] == buffers.labels).any(axis=1)
        spare = rows - len(ids)
        sees = np.concatenate([past, np.pad(among, ((0, 0), (0, spare)))], axis=1)
        sees = np.pad(sees, ((0, spare), (0, 0)), mode="edge")
        integers = {
            name: np.pad(values, (0, spare), mode="edge").astype(np.int32)[None]
            for name, values in (("ids", ids), ("positions", positions))
        }
        return integers | {"mask": np.where(sees, np.float32(0), UNSEEN)[None, None]}

    def _run(
        self, session: onnxruntime.InferenceSession, feed: Mapping[str, NDArray[Any]], buffers: Buffers
    ) -> list[Float]:
        outputs = ["logits", *(f"new_{name}" for name in buffers.columns)]
        return session.run(outputs, {**feed, **buffers.columns})


def _owned(array: NDArray[Any]) -> onnxruntime.OrtValue:
    """Return the runtime's own copy of an array: what `numpy()` makes of it later outlives the array."""
    value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(array.shape), array.dtype.type)
    value.update_inplace(np.ascontiguousarray(array))
    return value
