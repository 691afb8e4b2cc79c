"""The rows of the benchmark: ways to answer the same question, one interface.

Torch is imported by the runners that need it: its libraries would otherwise count in a bundle's memory.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from mobile_bench.baselines.flops import Work, generate_passes, shape_decoder, tree_passes, work_of
from mobile_bench.baselines.workload import Workload
from mobile_bench.errors import BenchError

Ranked = tuple[NDArray[np.int64], NDArray[np.float32]]


class Runner(Protocol):
    """Answers history `number` of the workload with item rows and scores, best first."""

    def ranked(self, number: int) -> Ranked:
        """Return `[k]` rows and `[k]` scores."""

    def work(self, number: int) -> Work:
        """Return what such a call computes and moves."""


class GenerateRunner:
    """transformers' beam search over a model, constrained by a prefix function: what a user of the library writes.

    Args:
        model: with transformers' `generate`.
        workload: to be asked about.
        reads_all: whether the model computes the logits of all tokens of a prompt.
    """

    def __init__(self, model: Any, workload: Workload, *, reads_all: bool) -> None:
        self.model, self.reads_all = model, reads_all
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

    def work(self, number: int) -> Work:
        """Return what the beams compute and move, each with a prompt of its own."""
        shape, tokens = self.workload.shape, len(self.workload.prompts[number])
        passes = generate_passes(tokens, self.workload.prompt.levels, shape.num_beams, reads_all=self.reads_all)
        return work_of(shape_decoder(shape), passes, "fp32")


def torch_runner(folder: Path, workload: Workload, scoring: str) -> TorchSearchRunner:
    """Return our search in torch over a model folder."""
    from mobile_bench.baselines.models import load_for_search

    return TorchSearchRunner(load_for_search(folder), workload, scoring)


def transformers_runner(folder: Path, workload: Workload) -> GenerateRunner:
    """Return transformers' search over a model folder."""
    from mobile_bench.baselines.models import load_for_search

    return GenerateRunner(load_for_search(folder), workload, reads_all=False)


def optimum_runner(folder: Path, workload: Workload) -> GenerateRunner:
    """Return the same search over optimum's own export of the model; runs in optimum's environment."""
    import torch
    from optimum.onnxruntime import ORTModelForCausalLM

    from odllm_export.engine import session_options

    torch.set_num_threads(1)
    model = ORTModelForCausalLM.from_pretrained(folder, session_options=session_options(1))
    return GenerateRunner(model, workload, reads_all=True)


class TorchSearchRunner:
    """Our search in torch: the prompt once, the beams as a tree."""

    def __init__(self, model: Any, workload: Workload, scoring: str) -> None:
        self.model = model
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

    def work(self, number: int) -> Work:
        """Return what the tree computes and moves under `vocab` scoring; `codes` leaves out more and is not timed."""
        shape, tokens = self.workload.shape, len(self.workload.prompts[number])
        prompt, *steps = tree_passes(tokens, [shape.num_beams] * (self.workload.prompt.levels - 1))
        prompt = msgspec.structs.replace(prompt, last_queries=1, last_mlp=1, last_seen=tokens)
        return work_of(shape_decoder(shape), [prompt, *steps], "fp32")


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
