"""A `decoder` graph driven by hand: positions from the mask, the cache carried from call to call."""

import numpy as np
import onnxruntime

from odllm_export.runtime import session_options


class DecoderSession:
    def __init__(self, folder, name="model.onnx"):
        path = str(folder / name)
        self.session = onnxruntime.InferenceSession(path, session_options(1), providers=["CPUExecutionProvider"])
        self.cache = {}

    def __call__(self, ids, mask, **more):
        """Return the logits of `ids [batch, new]`, or the first output asked for in `outputs`."""
        return self.run(["logits"], ids, mask, **more)[0]

    def run(self, outputs, ids, mask, **more):
        """Run new tokens over the cache and return the named outputs."""
        if not self.cache:
            self.cache = self._empty(len(ids))
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

    def forget(self):
        self.cache = {}

    def _empty(self, batch):
        caches = [i for i in self.session.get_inputs() if i.name.startswith("past_key_values.")]
        return {i.name: np.zeros((batch, i.shape[1], 0, i.shape[3]), np.float32) for i in caches}
