"""The rows of the benchmark: ways to answer the same question, one interface.

Torch is imported by the runners that need it: its libraries would otherwise count in a bundle's memory.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobile_bench.baselines.workload import Workload
from mobile_bench.errors import BenchError

Ranked = tuple[NDArray[np.int64], NDArray[np.float32]]


class Runner(Protocol):
    """Answers history `number` of the workload with item rows and scores, best first."""

    def ranked(self, number: int) -> Ranked:
        """Return `[k]` rows and `[k]` scores."""


class TransformersRunner:
    """transformers' own beam search, constrained by a prefix function: what a user of the library writes."""

    def __init__(self, model: Path, workload: Workload) -> None:
        from mobile_bench.baselines.models import load_for_search

        self.model = load_for_search(model)
        self.workload = workload
        codes = workload.prompt.code_tokens(workload.dataset.require_codes().codes)
        self.row_of = {tuple(tokens): row for row, tokens in enumerate(codes.tolist())}
        self.children: dict[tuple[int, ...], list[int]] = _children(codes)

    def ranked(self, number: int) -> Ranked:
        """Return what `generate` finds under the constraint."""
        import torch

        prompt = torch.as_tensor(self.workload.prompts[number])[None]
        start, beams = prompt.shape[1], self.workload.shape.num_beams
        found = self.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            num_beams=beams,
            num_return_sequences=beams,
            do_sample=False,
            max_new_tokens=self.workload.prompt.levels,
            min_new_tokens=self.workload.prompt.levels,
            length_penalty=0.0,  # plain sums of log-probabilities; all candidates are of one length
            pad_token_id=0,
            prefix_allowed_tokens_fn=lambda _, ids: self.children[tuple(ids[start:].tolist())],
            output_scores=True,
            return_dict_in_generate=True,
        )
        rows = [self.row_of[tuple(tokens)] for tokens in found.sequences[:, start:].tolist()]
        return np.array(rows, np.int64), found.sequences_scores.numpy()


class TorchSearchRunner:
    """Our search in torch: the prompt once, the beams as a tree."""

    def __init__(self, model: Path, workload: Workload, scoring: str) -> None:
        from mobile_bench.baselines.models import load_for_search

        self.model = load_for_search(model)
        self.workload = workload
        self.scoring = scoring

    def ranked(self, number: int) -> Ranked:
        """Return what `lcrec.search` finds."""
        from lcrec.search import search

        (found,) = search(
            self.model,
            [self.workload.prompts[number]],
            self.workload.catalog,
            self.workload.prompt.first_code_token,
            num_beams=self.workload.shape.num_beams,
            scoring=self.scoring,  # type: ignore[arg-type]
        )
        return found.rows, found.scores


class BundleRunner:
    """An exported bundle. This process never loads torch."""

    def __init__(self, bundle: Path, histories: list[list[int]]) -> None:
        from odllm_export.runtime import Recommender

        self.recommender = Recommender.open(bundle)
        self.histories = [np.asarray(history, np.int64) for history in histories]

    def ranked(self, number: int) -> Ranked:
        """Return what the graph finds."""
        return self.recommender.recommend_rows(self.histories[number])


class SessionRunner:
    """A bundle whose session has seen all of a history but its last item: what one more tap costs."""

    def __init__(self, bundle: Path, histories: list[list[int]]) -> None:
        from odllm_export.runtime import Recommender

        self.histories = [np.asarray(history, np.int64) for history in histories]
        recommender = Recommender.open(bundle)
        self.sessions = [recommender.session() for _ in histories]
        for session, history in zip(self.sessions, self.histories, strict=True):
            session.recommend_rows(history[:-1])

    def ranked(self, number: int) -> Ranked:
        """Return what the graph finds; the session stays as it was before the last item."""
        return self.sessions[number].copy().recommend_rows(self.histories[number])


class SgemmRunner:
    """Float32 matrix products by the same runtime: as fast as this machine multiplies.

    Of a size that stays in the cache: 256 to 768 rows run alike, 1024 are slower.
    """

    SIZE, TIMES = 512, 8
    FLOPS = TIMES * 2 * SIZE**3

    def __init__(self) -> None:
        import onnx
        import onnxruntime

        from odllm_export.engine import session_options

        weights = np.random.default_rng(0).standard_normal((self.SIZE, self.SIZE)).astype(np.float32)
        shape = [self.SIZE, self.SIZE]
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
            "sgemm",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
            [onnx.numpy_helper.from_array(weights, "w")],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=10)
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(1))
        self.x = weights.T.copy()

    def ranked(self, number: int) -> Ranked:
        """Multiply; there is no list."""
        for _ in range(self.TIMES):
            self.session.run(None, {"x": self.x})
        return np.zeros(0, np.int64), np.zeros(0, np.float32)


def smallest_gap(scores: NDArray[np.float32]) -> float:
    """Return the least difference between neighbours of a ranked list.

    Raises:
        BenchError: fewer than two scores.
    """
    if len(scores) < 2:
        raise BenchError(f"a list of {len(scores)} has no gaps; at least two items are needed")
    return float(np.min(-np.diff(scores.astype(np.float64))))


def _children(codes: NDArray[np.int64]) -> dict[tuple[int, ...], list[int]]:
    """Return the legal next tokens of every prefix."""
    children: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for tokens in codes.tolist():
        for depth, token in enumerate(tokens):
            children[tuple(tokens[:depth])].add(token)
    return {prefix: sorted(tokens) for prefix, tokens in children.items()}
