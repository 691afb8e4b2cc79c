"""Rows of exported bundles. Their processes never load torch."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobile_bench.baselines.flops import Work, bundle_decoder, bundle_passes, work_of
from mobile_bench.placement import PRODUCTS
from odllm_export.engine import Options
from odllm_export.runtime import Ranked, Recommender


class BundleRunner:
    """A bundle that is asked about whole histories.

    Args:
        bundle: folder.
        histories: item rows.
        intermediate: width of the model's MLP, which the manifest does not say.
    """

    def __init__(self, bundle: Path, histories: list[list[int]], intermediate: int) -> None:
        self.bundle, self.intermediate = bundle, intermediate
        self.recommender = Recommender.open(bundle)
        self.histories = [np.asarray(history, np.int64) for history in histories]

    def ranked(self, number: int) -> Ranked:
        """Return what the graph finds."""
        return self.recommender.recommend_rows(self.histories[number])

    def cached_tokens(self, number: int) -> int:
        """Return how many tokens of the prompt were computed before the call."""
        return self.recommender.manifest.graph.prefix_tokens

    @cached_property
    def passes(self) -> list[int]:
        """Passes of a call from nothing, a history each."""
        return [count_passes(self.bundle, history) for history in self.histories]

    def work(self, number: int) -> Work:
        """Return what the graph's call computes and moves."""
        manifest, history = self.recommender.manifest, self.histories[number]
        (tokens_run,) = self.recommender.run(history, None, ["tokens_run"], {})
        prompt, cached = manifest.prompt.length(len(history)), self.cached_tokens(number)
        # What runs behind the prompt does not depend on how much of it was cached.
        run = int(tokens_run.numpy()[0]) + manifest.graph.prefix_tokens - cached
        passes = bundle_passes(prompt, cached, run, self.passes[number])
        return work_of(bundle_decoder(manifest, self.intermediate), passes, manifest.model.precision)


class SessionRunner(BundleRunner):
    """A bundle whose session has seen all of a history but its last item: what one more tap costs."""

    def __init__(self, bundle: Path, histories: list[list[int]], intermediate: int) -> None:
        super().__init__(bundle, histories, intermediate)
        self.sessions = [self.recommender.session() for _ in histories]
        for session, history in zip(self.sessions, self.histories, strict=True):
            session.recommend_rows(history[:-1])

    def ranked(self, number: int) -> Ranked:
        """Return what the graph finds; the session stays as it was before the last item."""
        return self.sessions[number].copy().recommend_rows(self.histories[number])

    def cached_tokens(self, number: int) -> int:
        """Return how many tokens of the prompt the session had."""
        session = self.sessions[number].copy()
        session.recommend_rows(self.histories[number])
        return session.reused_tokens


def count_passes(bundle: Path, history: NDArray[np.int64]) -> int:
    """Return how often a call runs the decoder: how often the runtime's profile names a product of its loop."""
    with tempfile.TemporaryDirectory(prefix="odllm-bench-") as scratch:
        recommender = Recommender.open(bundle, Options(profile_prefix=str(Path(scratch) / "profile")))
        recommender.recommend_rows(history)
        events = json.loads(Path(recommender.inference.end_profiling()).read_text(encoding="utf-8"))
    products = (event["name"] for event in events if event.get("args", {}).get("op_name") in PRODUCTS)
    return max(Counter(products).values())
