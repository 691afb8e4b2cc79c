"""Constrained beam search in torch: the oracle that every exported graph is held against.

Beams are one tree of tokens (`lcrec.tree_decoder`): the prompt runs once a user, a level is one forward of `num_beams`
tokens. transformers' own beam search repeats the prompt for every beam and reorders the cache at every step; the lists
are the same (tested), the work is not. What decides nothing is not computed: under `codes` scoring only the level's own
codes have logits, and before the last level only beams that branch are run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from lcrec.catalog import Catalog, live_items_without
from lcrec.code_tree import Beams, CodeTree, Constraint, Options
from lcrec.errors import SearchError
from lcrec.tree_decoder import Head, TreeDecoder

Scoring = Literal["vocab", "codes"]


@dataclass(frozen=True)
class SearchResult:
    """What one user gets, best first.

    Attributes:
        rows: `[k]` int64 item rows. Items that share a code stand together, in row order.
        scores: `[k]` float32 sums of log-probabilities.
        codes: `[beams, levels]` int64 codes of the final beams; under the `levels` constraint some may be no item's.
        code_scores: `[beams]` float32.
        legal: `[beams]` whether a beam's code belongs to an item.
        margin: smallest gap, over the levels, between the last beam that was kept and the first that was not.
            Another program that adds in another order may choose otherwise where it is next to nothing.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    codes: NDArray[np.int64]
    code_scores: NDArray[np.float32]
    legal: NDArray[np.bool_]
    margin: float


@torch.inference_mode()
def search(
    model: PreTrainedModel,
    prompts: Sequence[NDArray[np.int64]],
    catalog: Catalog,
    first_code_token: int,
    *,
    num_beams: int = 20,
    constraint: Constraint = "trie",
    scoring: Scoring = "vocab",
    blocked: Sequence[Sequence[int]] | None = None,
) -> list[SearchResult]:
    """Return the best items of a batch of users.

    Args:
        model: a LLaMA-family causal language model, dense or low-rank.
        prompts: `[tokens]` ids a user; lengths may differ.
        catalog: which items exist.
        first_code_token: token id of code row 0.
        num_beams: beams kept a level.
        constraint: `trie`: only prefixes of existing items; `levels` (LC-Rec's own): any code that occurs at the level.
        scoring: `vocab`: log-softmax over the whole vocabulary before masking, as transformers' beam search;
            `codes`: over the live children of a beam's node, as transformers with `renormalize_logits=True`.
        blocked: item rows that must not come back, a list a user.

    Raises:
        SearchError: an option that does not exist, no users, an empty prompt, blocked items without a trie, or a model
            whose scores are no numbers.
    """
    _check(prompts, num_beams, constraint, scoring, blocked)
    tree = CodeTree(catalog, constraint, blocked, len(prompts), model.device)
    decoder = TreeDecoder(model, prompts, num_beams * (catalog.levels - 1))
    read = _Reader(decoder, Head(model), scoring, first_code_token, tree.offsets)
    beams = Beams.root(len(prompts), model.device)
    for level in range(catalog.levels):
        options = tree.options(beams, level)
        beams = _best(beams, options, read.log_probabilities(beams, options, level), tree.offsets[level], num_beams)
    if beams.score.isnan().any():
        raise SearchError("the model's scores are no numbers: its weights are damaged, or its training diverged")
    beams = beams.to("cpu")
    if constraint == "levels":
        return _collect_levels(beams, catalog)
    return _collect_trie(beams, catalog, num_beams, blocked)


@dataclass(frozen=True)
class _Reader:
    """What the model says about options, level by level."""

    decoder: TreeDecoder
    head: Head
    scoring: Scoring
    first_code_token: int
    offsets: list[int]

    def log_probabilities(self, beams: Beams, options: Options, level: int) -> Tensor:
        """Return `[users, beams, width]`; minus infinity where it is not legal."""
        if self.scoring == "vocab":
            logits = self.head.logits(self._read(beams, level), slice(None))
            gathered = logits.gather(2, options.code_row + self.first_code_token)
            normaliser = logits.logsumexp(dim=2, keepdim=True)
        else:
            logits = self._level_logits(beams, options, level)
            gathered = logits.gather(2, options.code_row - self.offsets[level]).masked_fill(~options.legal, -torch.inf)
            normaliser = gathered.logsumexp(dim=2, keepdim=True)
        return (gathered - normaliser).masked_fill(~options.legal, -torch.inf)

    def _read(self, beams: Beams, level: int) -> Tensor:
        if level == 0:
            return self.decoder.prefill()
        return self.decoder.step(beams.code_row + self.first_code_token, beams.parent)

    def _level_logits(self, beams: Beams, options: Options, level: int) -> Tensor:
        """Return the logits of a level's codes, `[users, beams, codes]`."""
        start, end = (self.first_code_token + offset for offset in self.offsets[level : level + 2])
        if level == 0 or level + 2 < len(self.offsets):
            return self.head.logits(self._read(beams, level), slice(start, end))
        # Nothing comes after the last level: a beam that one code alone may follow need not be read. Its child has
        # the probability 1 whatever the logits are. Before it, descendants would look back at what was not run.
        branching = options.legal.sum(dim=2) > 1
        logits = torch.zeros(*branching.shape, end - start, device=branching.device)
        width = int(branching.sum(dim=1).max())
        if width == 0:
            return logits
        chosen = branching.int().argsort(dim=1, descending=True, stable=True)[:, :width]
        tokens, parent = (part.gather(1, chosen) for part in (beams.code_row, beams.parent))
        read = self.decoder.step(tokens + self.first_code_token, parent)
        return logits.scatter(
            1, chosen[..., None].expand(-1, -1, end - start), self.head.logits(read, slice(start, end))
        )


def _best(beams: Beams, options: Options, log_probabilities: Tensor, offset: int, keep: int) -> Beams:
    """Grow every beam by one level and keep the best."""
    score = beams.score[..., None] + log_probabilities
    # Stable: equal scores keep their order, which makes the oracle as deterministic as ONNX's TopK.
    ranked, index = score.flatten(1).sort(dim=1, descending=True, stable=True)
    margin = torch.minimum(beams.margin, _margin(ranked, keep))
    ranked, index = ranked[:, :keep], index[:, :keep]
    parent = index // score.shape[2]
    code_row = options.code_row.flatten(1).gather(1, index)
    codes = beams.codes.gather(1, parent[..., None].expand(-1, -1, beams.codes.shape[2]))
    codes = torch.cat([codes, (code_row - offset)[..., None]], dim=2)
    return Beams(ranked, options.node.flatten(1).gather(1, index), code_row, parent, codes, margin)


def _margin(ranked: Tensor, keep: int) -> Tensor:
    """Return `[users]` how far the first dropped score lies below the last kept one; infinite if none is dropped."""
    if ranked.shape[1] <= keep:
        return torch.full((len(ranked),), torch.inf, device=ranked.device)
    gap = ranked[:, keep - 1] - ranked[:, keep]
    return gap.nan_to_num(nan=torch.inf)  # both dead: nothing was dropped


def _collect_trie(
    beams: Beams, catalog: Catalog, keep: int, blocked: Sequence[Sequence[int]] | None
) -> list[SearchResult]:
    """Turn leaves into items: the children of each leaf, best leaf first."""
    results = []
    for user in range(len(beams.score)):
        alive = torch.isfinite(beams.score[user]).numpy()
        leaves, scores = beams.node[user].numpy()[alive], beams.score[user].numpy()[alive]
        live = catalog.live_items
        if blocked is not None:
            live = live_items_without(catalog, np.asarray(blocked[user], dtype=np.int64))
        starts, ends = catalog.child_start[leaves], catalog.child_start[leaves + 1]
        widths = ends - starts
        nodes = np.arange(widths.sum()) + np.repeat(starts - widths.cumsum() + widths, widths)
        item_scores = np.repeat(scores, widths)
        shown = live[nodes] > 0
        results.append(
            SearchResult(
                rows=catalog.item_order[nodes[shown] - catalog.nodes].astype(np.int64)[:keep],
                scores=item_scores[shown][:keep],
                codes=beams.codes[user].numpy()[alive],
                code_scores=scores,
                legal=np.ones(len(leaves), dtype=bool),
                margin=float(beams.margin[user]),
            )
        )
    return results


def _collect_levels(beams: Beams, catalog: Catalog) -> list[SearchResult]:
    """Look the codes up among the items; beams that are no item's code are kept, marked illegal."""
    items_of: dict[tuple[int, ...], list[int]] = {}
    for row, codes in enumerate((catalog.item_code_rows - catalog.level_offsets).tolist()):
        items_of.setdefault(tuple(codes), []).append(row)
    results = []
    margins = beams.margin.tolist()
    for codes, scores, margin in zip(beams.codes.numpy(), beams.score.numpy(), margins, strict=True):
        found = [items_of.get(tuple(code), []) for code in codes.tolist()]
        results.append(
            SearchResult(
                rows=np.array([row for rows in found for row in rows], dtype=np.int64),
                scores=np.repeat(scores, [len(rows) for rows in found]),
                codes=codes,
                code_scores=scores,
                legal=np.array([bool(rows) for rows in found]),
                margin=margin,
            )
        )
    return results


def _check(
    prompts: Sequence[NDArray[np.int64]],
    num_beams: int,
    constraint: str,
    scoring: str,
    blocked: Sequence[Sequence[int]] | None,
) -> None:
    if not len(prompts) or any(len(prompt) == 0 for prompt in prompts):
        raise SearchError("a search needs at least one user, and no prompt may be empty")
    if num_beams < 1:
        raise SearchError(f"num_beams is {num_beams}; at least 1 is needed")
    if constraint not in ("trie", "levels"):
        raise SearchError(f"constraint {constraint!r} is not one of trie, levels")
    if scoring not in ("vocab", "codes"):
        raise SearchError(f"scoring {scoring!r} is not one of vocab, codes")
    if blocked is not None and (constraint != "trie" or len(blocked) != len(prompts)):
        raise SearchError("blocked items need the trie constraint and one list a user")
