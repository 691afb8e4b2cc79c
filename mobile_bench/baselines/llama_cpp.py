"""Our search over llama.cpp's decoder: the prompt once, one cache that all beams share by sequence numbers.

Runs in an environment of its own, which has numpy but neither torch nor a runtime of ONNX. llama.cpp has no
constrained beam search; this is what its interface lets one write: a column of the cache belongs to every beam
that descends from it, and giving it to another beam copies nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobile_bench.baselines.flops import Work, llama_cpp_passes, shape_decoder, work_of
from mobile_bench.baselines.gguf_job import FILE_NAME
from mobile_bench.baselines.workload import Workload
from mobile_bench.errors import DeviceError
from odllm_export.trie_search import Beams, TrieSearch

Float = NDArray[np.float32]

_PREFIX = 0
"""Sequence number of what all prompts begin with; it stays from call to call."""


class SharedCacheDecoder:
    """A decoder of llama.cpp, one thread. Sequences 1 to 2 × beams are those of a search, by turns a half of them.

    Args:
        file: GGUF.
        prefix: `[tokens]` that all prompts begin with.
        most_tokens: of a prompt and all beams' tokens together.
        num_beams: sequences of a search.
        exact: keys and values in single precision instead of half.
    """

    def __init__(self, file: Path, prefix: NDArray[np.int64], most_tokens: int, num_beams: int, exact: bool) -> None:
        import llama_cpp

        self._native: Any = llama_cpp.llama_cpp
        self._num_beams = num_beams
        self._native.llama_backend_init()
        parameters = self._native.llama_model_default_params()
        self._model = self._native.llama_model_load_from_file(str(file).encode(), parameters)
        if not self._model:
            raise DeviceError(f"llama.cpp cannot open {file}")
        self._context = self._native.llama_init_from_model(self._model, self._parameters(most_tokens, exact))
        if not self._context:
            raise DeviceError(f"llama.cpp makes no context of {most_tokens} tokens for {file}")
        self._memory = self._native.llama_get_memory(self._context)
        self._vocabulary: int = self._native.llama_vocab_n_tokens(self._native.llama_model_get_vocab(self._model))
        self._batch = self._native.llama_batch_init(most_tokens, 0, 1)
        self.prefix_tokens = len(prefix)
        self._position = 0
        self._first = 1
        if len(prefix):
            self._decode(prefix, np.full(len(prefix), _PREFIX), np.arange(len(prefix)), reads_all=False)

    def prefill(self, prompt: NDArray[np.int64]) -> Float:
        """Forget the last search and run a prompt behind the prefix; return `[1, vocabulary]` logits."""
        for sequence in range(1, 2 * self._num_beams + 1):
            self._native.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        self._first, self._position = 1, len(prompt)
        self._native.llama_memory_seq_cp(self._memory, _PREFIX, 1, -1, -1)
        fresh = prompt[self.prefix_tokens :]
        return self._decode(fresh, np.ones(len(fresh), np.int64), np.arange(self.prefix_tokens, len(prompt)), False)

    def step(self, tokens: NDArray[np.int64], parents: NDArray[np.int64]) -> Float:
        """Append a token to each beam, children of beams `parents`; return `[beams, vocabulary]` logits."""
        old, new = self._first, self._num_beams + 2 - self._first
        for beam, parent in enumerate(parents.tolist()):
            self._native.llama_memory_seq_cp(self._memory, old + parent, new + beam, -1, -1)
        for beam in range(self._num_beams):
            self._native.llama_memory_seq_rm(self._memory, old + beam, -1, -1)
        self._first, self._position = new, self._position + 1
        positions = np.full(len(tokens), self._position - 1)
        return self._decode(tokens, new + np.arange(len(tokens)), positions, True)

    def close(self) -> None:
        """Free everything."""
        self._native.llama_batch_free(self._batch)
        self._native.llama_free(self._context)
        self._native.llama_model_free(self._model)

    def _parameters(self, most_tokens: int, exact: bool) -> Any:
        parameters = self._native.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = most_tokens
        parameters.n_seq_max = 2 * self._num_beams + 1
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.kv_unified = True  # one cache of columns that know their sequences, instead of one a sequence
        if exact:  # its fused attention rounds to half precision on the way
            parameters.flash_attn_type = self._native.LLAMA_FLASH_ATTN_TYPE_DISABLED
            parameters.type_k = parameters.type_v = self._native.GGML_TYPE_F32
        return parameters

    def _decode(
        self, tokens: NDArray[np.int64], sequences: NDArray[np.int64], positions: NDArray[np.int64], reads_all: bool
    ) -> Float:
        batch, count = self._batch, len(tokens)
        batch.n_tokens = count
        for i in range(count):
            batch.token[i], batch.pos[i] = int(tokens[i]), int(positions[i])
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, int(sequences[i])
            batch.logits[i] = reads_all or i == count - 1
        status = self._native.llama_decode(self._context, batch)
        if status:
            raise DeviceError(f"llama.cpp's decoder refused {count} tokens: status {status}")
        logits = self._native.llama_get_logits(self._context)
        return np.ctypeslib.as_array(logits, shape=(count if reads_all else 1, self._vocabulary))


class LlamaCppRunner:
    """Constrained beam search over llama.cpp.

    Args:
        folder: with the GGUF file.
        workload: to be asked about.
        scoring: `vocab` or `codes`.
        weights: format of the file, as `flops.WEIGHT_BYTES` names it.
    """

    def __init__(self, folder: Path, workload: Workload, scoring: str, weights: str) -> None:
        self.workload, self.weights = workload, weights
        prompt, shape = workload.prompt, workload.shape
        most_tokens = prompt.max_tokens + shape.num_beams * (prompt.levels - 1)
        prefix = np.asarray(prompt.prefix_ids, np.int64)
        exact = weights == "f32"
        self.decoder = SharedCacheDecoder(folder / FILE_NAME, prefix, most_tokens, shape.num_beams, exact)
        no_items = np.zeros(0, np.int64)
        self.search = TrieSearch.without(no_items, workload.catalog, shape.num_beams, scoring, prompt.first_code_token)

    def ranked(self, number: int) -> tuple[NDArray[np.int64], Float]:
        """Return what the search finds."""
        logits, beams = self.decoder.prefill(self.workload.prompts[number]), Beams.root()
        for _ in range(1, self.workload.catalog.levels):
            grown = self.search.grow(beams, logits)
            parents = {node: beam for beam, node in enumerate(beams.nodes.tolist())}
            came_from = np.array([parents[node] for node in grown.path[:, -2].tolist()])
            codes = self.workload.catalog.node_code[grown.nodes].astype(np.int64)
            logits, beams = self.decoder.step(codes + self.search.code_offset, came_from), grown
        return self.search.items(self.search.grow(beams, logits))

    def work(self, number: int) -> Work:
        """Return what the search computes and moves."""
        shape = self.workload.shape
        beams = [shape.num_beams] * (self.workload.prompt.levels - 1)
        passes = llama_cpp_passes(len(self.workload.prompts[number]), self.decoder.prefix_tokens, beams)
        return work_of(shape_decoder(shape), passes, self.weights)
