"""What the graph needs to know of a model's architecture, whatever its family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odllm_export.families.rope import Rope, read_rope, rope_parameters

ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


@dataclass(frozen=True)
class Decoder:
    """A decoder of the LLaMA kind: seven projections a block, RMS norms, a gated SiLU MLP, rotary positions.

    Attributes:
        family: transformers' `model_type`.
        layers: blocks.
        hidden: width of the hidden state.
        heads: query heads.
        kv_heads: key and value heads.
        head_size: width of a head.
        intermediate: width of the MLP.
        vocabulary: rows of the embedding.
        norm_eps: of the RMS norms.
        rope: the rotary embedding.
        tied: whether the head is the embedding.
        biases: projections that have one.
        query_key_norms: whether each head's query and key are RMS-normalised before they are turned.
    """

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    norm_eps: float
    rope: Rope
    tied: bool
    biases: frozenset[str] = frozenset()
    query_key_norms: bool = False

    @classmethod
    def from_config(
        cls, config: Any, where: str, *, biases: Iterable[str] = (), query_key_norms: bool = False
    ) -> Decoder:
        """Return what the keys that all families share say, with what the family adds.

        Raises:
            UnsupportedModelError: a rotary embedding that the graph does not compute.
        """
        return cls(
            family=config.model_type,
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_size=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            intermediate=config.intermediate_size,
            vocabulary=config.vocab_size,
            norm_eps=config.rms_norm_eps,
            rope=read_rope(rope_parameters(config), where),
            tied=config.tie_word_embeddings,
            biases=frozenset(biases),
            query_key_norms=query_key_norms,
        )

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """The seven projections of a block by name, `(out, in)` each."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "self_attn.q_proj": (queries, self.hidden),
            "self_attn.k_proj": (keys, self.hidden),
            "self_attn.v_proj": (keys, self.hidden),
            "self_attn.o_proj": (self.hidden, queries),
            "mlp.gate_proj": (self.intermediate, self.hidden),
            "mlp.up_proj": (self.intermediate, self.hidden),
            "mlp.down_proj": (self.hidden, self.intermediate),
        }

    def keep_ratio(self, ranks: Mapping[str, int], shared_inputs: Mapping[str, str]) -> float:
        """Return kept ÷ original parameters of the projections.

        Args:
            ranks: of the projections that are factored.
            shared_inputs: those that read through the input factor of another, which is counted there.
        """
        kept = original = 0
        for layer in range(self.layers):
            for name, (rows, columns) in self.projections.items():
                full_name = f"model.layers.{layer}.{name}"
                rank = ranks.get(full_name)
                original += rows * columns
                if rank is None:
                    kept += rows * columns
                else:
                    kept += rank * (rows if full_name in shared_inputs else rows + columns)
        return kept / original

    def rotary_caches(self, positions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return cosines and sines `[positions, head_size / 2]`, computed in float32 as transformers does."""
        return self.rope.caches(positions, self.head_size)
