"""Constrained beam search in torch: the oracle that every exported graph is held against.

The prompt runs once a user. Each decode step is one forward of `num_beams` tokens a user under a boolean mask:
every beam sees the whole prompt and its own ancestors, all other beams' tokens are hidden from it. Keys and
values are only ever appended, never gathered or copied per beam. transformers' own beam search repeats the
prompt for every beam and reorders the cache at every step; the lists are the same (tested), the work is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from lcrec.catalog import Catalog, live_items_without
from lcrec.errors import SearchError

Constraint = Literal["trie", "levels"]
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
        SearchError: an option that does not exist, no users, an empty prompt, or blocked items without a trie.
    """
    _check(prompts, num_beams, constraint, scoring, blocked)
    code_ids = torch.arange(first_code_token, first_code_token + catalog.code_rows)
    decoder = _TreeDecoder(model, prompts)
    expand = _expander(catalog, constraint, scoring, blocked, len(prompts))
    beams = _Beams.root(len(prompts))
    logits = decoder.prefill()
    for level in range(catalog.levels):
        beams, parent, code_row = expand(beams, logits, code_ids, level, num_beams)
        if level + 1 < catalog.levels:
            logits = decoder.step(code_ids[code_row], parent)
    if constraint == "levels":
        return _collect_levels(beams, catalog)
    return _collect_trie(beams, catalog, num_beams, blocked)


@dataclass(frozen=True)
class _Beams:
    """The live ends of a search.

    `score` and trie `node` (or code row) are `[users, beams]`, `codes [users, beams, t]`, `margin [users]`.
    """

    score: Tensor
    node: Tensor
    codes: Tensor
    margin: Tensor

    @classmethod
    def root(cls, users: int) -> _Beams:
        return cls(
            score=torch.zeros(users, 1),
            node=torch.zeros(users, 1, dtype=torch.long),
            codes=torch.zeros(users, 1, 0, dtype=torch.long),
            margin=torch.full((users,), torch.inf),
        )


@dataclass
class _TreeDecoder:
    """Feeds the prompt once, then one tree level a step, keeping who descends from whom as a mask."""

    model: PreTrainedModel
    prompts: Sequence[NDArray[np.int64]]
    cache: DynamicCache = field(default_factory=DynamicCache)

    def prefill(self) -> Tensor:
        """Run the prompts, left-padded; return logits after the last token, `[users, 1, vocabulary]`."""
        longest = max(len(p) for p in self.prompts)
        ids = torch.zeros(len(self.prompts), longest, dtype=torch.long)
        real = torch.zeros(len(self.prompts), longest, dtype=torch.bool)
        for user, prompt in enumerate(self.prompts):
            ids[user, longest - len(prompt) :] = torch.from_numpy(np.asarray(prompt, dtype=np.int64))
            real[user, longest - len(prompt) :] = True
        causal = torch.ones(longest, longest, dtype=torch.bool).tril()
        # A padded row would see nothing at all, and a softmax over nothing is not a number: it sees itself.
        mask = (causal & real[:, None, :]) | torch.eye(longest, dtype=torch.bool)
        positions = (real.cumsum(1) - 1).clamp(min=0)
        self.position = positions[:, -1:]
        self.visible = mask[:, -1:]  # [users, beams, keys]: what each beam's next token may see
        return self._forward(ids, mask, positions)

    def step(self, tokens: Tensor, parent: Tensor) -> Tensor:
        """Append `tokens [users, beams]`, children of beams `parent`; return logits `[users, beams, vocabulary]`."""
        users, beams = tokens.shape
        inherited = self.visible.gather(1, parent[..., None].expand(-1, -1, self.visible.shape[2]))
        itself = torch.eye(beams, dtype=torch.bool).expand(users, -1, -1)
        self.visible = torch.cat([inherited, itself], dim=2)
        self.position = self.position + 1
        return self._forward(tokens, self.visible, self.position.expand(users, beams), keep=beams)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, keep: int = 1) -> Tensor:
        device = self.model.device  # the search itself stays where the catalogue is: on the CPU
        output = self.model(
            input_ids=ids.to(device),
            attention_mask=mask[:, None].to(device),
            position_ids=positions.to(device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        return output.logits.float().cpu()


_Expand = Callable[[_Beams, Tensor, Tensor, int, int], tuple[_Beams, Tensor, Tensor]]


def _expander(
    catalog: Catalog,
    constraint: Constraint,
    scoring: Scoring,
    blocked: Sequence[Sequence[int]] | None,
    users: int,
) -> _Expand:
    """Return the function that grows every beam by one level and keeps the best."""
    offsets = torch.from_numpy(catalog.level_offsets.astype(np.int64))
    child_start = torch.from_numpy(catalog.child_start.astype(np.int64))
    node_code = torch.from_numpy(catalog.node_code.astype(np.int64))
    live = _live_items(catalog, blocked, users)
    occurring = [torch.from_numpy(np.unique(column)) for column in catalog.item_code_rows.T.astype(np.int64)]

    def children(beams: _Beams, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return candidate nodes, their code rows and whether they are legal, each `[users, beams, width]`."""
        if constraint == "levels":
            rows = occurring[level].expand(*beams.node.shape, -1)
            return rows, rows, torch.ones_like(rows, dtype=torch.bool)
        candidates = child_start[beams.node][..., None] + torch.arange(int(catalog.level_width[level]))
        legal = candidates < child_start[beams.node + 1][..., None]
        candidates = candidates.clamp(max=catalog.nodes - 1)
        legal &= live.gather(1, candidates.flatten(1)).view_as(candidates) > 0
        return candidates, node_code[candidates], legal

    def expand(beams: _Beams, logits: Tensor, code_ids: Tensor, level: int, keep: int) -> tuple[_Beams, Tensor, Tensor]:
        node, code_row, legal = children(beams, level)
        gathered = logits.gather(2, code_ids[code_row]).masked_fill(~legal, -torch.inf)
        normaliser = (gathered if scoring == "codes" else logits).logsumexp(dim=2, keepdim=True)
        score = (beams.score[..., None] + gathered - normaliser).masked_fill(~legal, -torch.inf)
        width = score.shape[2]
        # Stable: equal scores keep their order, which makes the oracle as deterministic as ONNX's TopK.
        ranked, index = score.flatten(1).sort(dim=1, descending=True, stable=True)
        margin = torch.minimum(beams.margin, _margin(ranked, keep))
        ranked, index = ranked[:, :keep], index[:, :keep]
        parent = index // width
        code_row = code_row.flatten(1).gather(1, index)
        codes = beams.codes.gather(1, parent[..., None].expand(-1, -1, level))
        codes = torch.cat([codes, (code_row - offsets[level])[..., None]], dim=2)
        return _Beams(ranked, node.flatten(1).gather(1, index), codes, margin), parent, code_row

    return expand


def _margin(ranked: Tensor, keep: int) -> Tensor:
    """Return `[users]` how far the first dropped score lies below the last kept one; infinite if none is dropped."""
    if ranked.shape[1] <= keep:
        return torch.full((len(ranked),), torch.inf)
    gap = ranked[:, keep - 1] - ranked[:, keep]
    return gap.nan_to_num(nan=torch.inf)  # both dead: nothing was dropped


def _live_items(catalog: Catalog, blocked: Sequence[Sequence[int]] | None, users: int) -> Tensor:
    """Return `[users, nodes + items]` live counts; one shared row where nothing is blocked."""
    if blocked is None:
        return torch.from_numpy(catalog.live_items).expand(users, -1)
    rows = [live_items_without(catalog, np.asarray(rows, dtype=np.int64)) for rows in blocked]
    return torch.from_numpy(np.stack(rows))


def _collect_trie(
    beams: _Beams, catalog: Catalog, keep: int, blocked: Sequence[Sequence[int]] | None
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
        nodes = np.concatenate([np.arange(s, e) for s, e in zip(starts, ends, strict=True)] or [np.zeros(0, np.int64)])
        item_scores = np.repeat(scores, ends - starts)
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


def _collect_levels(beams: _Beams, catalog: Catalog) -> list[SearchResult]:
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
