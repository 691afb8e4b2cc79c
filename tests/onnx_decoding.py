"""Decoder graphs driven by hand, with numpy only: calls over a cache, and beam search over a spliced processor."""

import numpy as np
import onnxruntime

from odllm_export.engine import session_options


def open_session(path):
    return onnxruntime.InferenceSession(str(path), session_options(1), providers=["CPUExecutionProvider"])


class DecoderSession:
    """A decoder with optimum's names: positions from the mask, the cache carried from call to call."""

    def __init__(self, path):
        self.session = open_session(path)
        self.cache = {}

    def __call__(self, ids, mask):
        """Return the logits of `ids [batch, new]`."""
        return self.run(["logits"], ids, mask)[0]

    def run(self, outputs, ids, mask, **more):
        """Run new tokens over the cache and return the named outputs."""
        if not self.cache:
            self.forget(len(ids))
        positions = np.maximum(mask.cumsum(1) - 1, 0)[:, -ids.shape[1] :]
        feed = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **self.cache, **more}
        names = [output.name for output in self.session.get_outputs() if output.name.startswith("present.")]
        values = self.session.run([*outputs, *names], feed)
        grown = zip(names, values[len(outputs) :], strict=True)
        self.cache = {name.replace("present", "past_key_values"): value for name, value in grown}
        return values[: len(outputs)]

    def reorder(self, rows):
        """Keep the cache of these rows of the batch, in this order: what a beam search does between steps."""
        self.cache = {name: value[rows] for name, value in self.cache.items()}

    def forget(self, batch):
        """Begin anew with an empty cache for `batch` rows."""
        caches = [i for i in self.session.get_inputs() if i.name.startswith("past_key_values.")]
        self.cache = {i.name: np.zeros((batch, i.shape[1], 0, i.shape[3]), np.float32) for i in caches}


def beam_search(session, prompt, levels, num_beams, **catalog):
    """Search with the spliced graph's candidates; return token ids `[beams, levels]`, final states and scores."""
    session.forget(1)
    ids, length = np.asarray(prompt, np.int64)[None], len(prompt)
    state, score, written = np.zeros(1, np.int32), np.zeros(1, np.float32), np.zeros((1, 0), np.int64)
    for _ in range(levels):
        mask = np.ones((len(state), length), np.int64)
        outputs = ["candidates", "candidate_scores", "candidate_states"]
        tokens, scores, states = session.run(outputs, ids, mask, state=state, **catalog)
        total = (score[:, None] + scores).ravel()
        best = np.argsort(-total, kind="stable")[:num_beams]
        best = best[np.isfinite(total[best])]
        parent, length = best // scores.shape[1], length + 1
        session.reorder(parent)
        ids = tokens.ravel()[best][:, None]
        written = np.concatenate([written[parent], ids], axis=1)
        state, score = states.ravel()[best], total[best]
    return written, state, score


def items_of(catalog, states, scores, limit):
    """Return the item rows of final states and their scores, best first, at most `limit`."""
    rows, spread = [], []
    for leaf, score in zip(states, scores, strict=True):
        nodes = np.arange(catalog.child_start[leaf], catalog.child_start[leaf + 1])
        live = nodes[catalog.live_items[nodes] > 0]
        rows += catalog.item_order[live - catalog.nodes].tolist()
        spread += [score] * len(live)
    return rows[:limit], spread[:limit]
