"""Incremental calls: what did not change since the last one is not computed again."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from odllm_export.runtime import Ranked, Recommendation, Recommender, ort_value


class Session:
    """One user's history, asked about again and again: what did not change since the last call is not computed again.

    The keys and values of the prompt stay with the session. A call with one more item runs that item and the
    prompt's suffix only; when the window slides, it starts again behind the prefix. Calls from several threads wait
    for each other. Lists are those of `Recommender.recommend`.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._lock = threading.Lock()
        self._window: list[int] = []
        self._cache: onnxruntime.OrtValue | None = None
        self.reused_tokens = 0
        """Tokens of the last call's prompt that came out of the session's cache."""

    def copy(self) -> Session:
        """Return a session that goes on from here by itself; what is cached is shared, not copied."""
        other = Session(self._recommender)
        with self._lock:
            other._window, other._cache, other.reused_tokens = self._window, self._cache, self.reused_tokens
        return other

    def recommend(
        self,
        history: Sequence[str],
        *,
        top_k: int | None = None,
        blocked: Collection[str] = (),
        exclude_seen: bool = False,
    ) -> list[Recommendation]:
        """Return the best next items for a history, as `Recommender.recommend` does, with the same arguments."""
        return self._recommender.answer(
            self.recommend_rows, history, top_k=top_k, blocked=blocked, exclude_seen=exclude_seen
        )

    def recommend_rows(self, history: NDArray[np.int64], blocked: NDArray[np.int64] | None = None) -> Ranked:
        """Return item rows and scores, as `Recommender.recommend_rows` does."""
        prompt = self._recommender.manifest.prompt
        window = [int(row) for row in history[-prompt.max_items :]]
        with self._lock:
            shared = _common_length(self._window, window)
            cached = prompt.reusable(shared) if shared else 0
            cache = {"return_cache": ort_value(np.ones(1, np.bool_))}
            if self._cache is not None and shared:
                cache |= {"kv_cache": self._cache, "cached_tokens": ort_value(np.array([cached], np.int64))}
            outputs = ["items", "scores", "next_kv_cache"]
            items, scores, self._cache = self._recommender.run(history, blocked, outputs, cache)
            self._window, self.reused_tokens = window, cached
        return self._recommender.ranked(items, scores, blocked)


def _common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many entries two lists share at their beginning."""
    pairs = zip(left, right, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
