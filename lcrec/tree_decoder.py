"""A language model read as a tree: one prompt a user, then tokens that each continue one of those before.

The prompt runs once a user; what all prompts of a batch begin with runs once a batch. Each step is one forward of a few
tokens a user under a boolean mask: every token sees the whole prompt and its own ancestors, all others are hidden from
it. Keys and values are only ever appended, never gathered or copied per beam. The blocks are transformers' own, run one
by one, because the last one need not be finished but for a prompt's last token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

_SHARING_PAYS = 64
"""Tokens that a prefix run once must save: a forward more costs its dispatch."""

_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
"""What is known of their blocks: attention with rotated keys behind a norm, and a head that is a linear map."""


class TreeDecoder:
    """The state of one batch of users.

    Args:
        model: a causal language model.
        prompts: `[tokens]` ids a user; lengths may differ.
        new_tokens: how many tokens a user may get behind the prompt, at most.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[NDArray[np.int64]], new_tokens: int) -> None:
        self.model, self.device, self.prompts = model, model.device, prompts
        self.plain = has_plain_blocks(model)
        self.shared = _shared_prefix(prompts)
        self.padded = max(map(len, prompts)) - self.shared
        self.cache = _cache(model, len(prompts), self.shared + self.padded + new_tokens)

    def prefill(self) -> Tensor:
        """Run the prompts; return what the last token of each gives, `[users, 1, …]`, for `Head`."""
        if self.shared:
            ids = torch.from_numpy(np.asarray(self.prompts[0][: self.shared], dtype=np.int64))[None]
            causal = torch.ones(1, self.shared, self.shared, dtype=torch.bool).tril()
            self._forward(ids, causal, torch.arange(self.shared)[None])
        ids, real = self._rest()
        causal = torch.ones(self.padded, self.padded, dtype=torch.bool).tril()
        # A padded row would see nothing at all, and a softmax over nothing is not a number: it sees itself.
        mask = (causal & real[:, None, :]) | torch.eye(self.padded, dtype=torch.bool)
        mask = nn.functional.pad(mask, (self.shared, 0), value=True)  # [users, tokens, keys]
        positions = (self.shared + real.cumsum(1) - 1).clamp(min=0)
        self.position = positions[:, -1:].to(self.device)
        self.visible = mask[:, -1:].to(self.device)  # [users, tokens, keys]: what each beam's next token may see
        return self._forward(ids, mask, positions)

    def step(self, tokens: Tensor, parent: Tensor) -> Tensor:
        """Append `tokens [users, width]`, children of the last step's tokens `parent`; return `[users, width, …]`."""
        users, width = tokens.shape
        inherited = self.visible.gather(1, parent[..., None].expand(-1, -1, self.visible.shape[2]))
        itself = torch.eye(width, dtype=torch.bool, device=self.device).expand(users, -1, -1)
        self.visible = torch.cat([inherited, itself], dim=2)
        self.position = self.position + 1
        return self._forward(tokens, self.visible, self.position.expand(users, width), keep=width)

    def _rest(self) -> tuple[Tensor, Tensor]:
        """Return the prompts behind the shared prefix, left-padded, and which tokens are real."""
        ids = np.zeros((len(self.prompts), self.padded), dtype=np.int64)
        real = np.zeros(ids.shape, dtype=bool)
        for user, prompt in enumerate(self.prompts):
            ids[user, self.padded - len(prompt) + self.shared :] = prompt[self.shared :]
            real[user, self.padded - len(prompt) + self.shared :] = True
        return torch.from_numpy(ids), torch.from_numpy(real)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, keep: int = 1) -> Tensor:
        """Append `ids [users, tokens]`; return what the last `keep` of them give, `[users, keep, …]`."""
        ids, mask, positions = ids.to(self.device), mask[:, None].to(self.device), positions.to(self.device)
        if self.plain:
            return self._run_blocks(ids, mask, positions, keep)
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep,
        ).logits

    def _run_blocks(self, ids: Tensor, mask: Tensor, positions: Tensor, keep: int) -> Tensor:
        body = self.model.get_decoder()
        hidden = body.embed_tokens(ids)  # [users, tokens, hidden]
        rotation = body.rotary_emb(hidden, positions)

        def run(block: nn.Module, hidden: Tensor, last: int) -> Tensor:
            return block(
                hidden[:, -last:],
                attention_mask=mask[:, :, -last:],
                position_ids=positions[:, -last:],
                past_key_values=self.cache,
                use_cache=True,
                position_embeddings=tuple(part[:, -last:] for part in rotation),
            )

        *blocks, final = body.layers
        for block in blocks:
            hidden = run(block, hidden, hidden.shape[1])
        if hidden.shape[1] > keep:
            self._append_keys(final, hidden[:, :-keep], *(part[:, :-keep] for part in rotation))
        return body.norm(run(final, hidden, keep))

    def _append_keys(self, block: Any, hidden: Tensor, cos: Tensor, sin: Tensor) -> None:
        """Append the keys and values of tokens of which nobody reads more: the rest of the block is left out."""
        attention, read = block.self_attn, block.input_layernorm(hidden)
        shape = (*read.shape[:2], -1, attention.head_dim)
        keys, values = attention.k_proj(read).view(shape), attention.v_proj(read).view(shape)
        if hasattr(attention, "k_norm"):
            keys = attention.k_norm(keys)
        keys, values = keys.transpose(1, 2), values.transpose(1, 2)  # [users, heads, tokens, head_size]
        keys, _ = apply_rotary_pos_emb(keys, keys[:, :0], cos, sin)
        self.cache.update(keys, values, attention.layer_idx)


class Head:
    """Turns what `TreeDecoder` returns into logits, all of them or only those of some tokens."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.linear = model.get_output_embeddings() if has_plain_blocks(model) else None

    def logits(self, read: Tensor, tokens: slice) -> Tensor:
        """Return float32 logits of a range of tokens, `[users, width, range]`.

        Args:
            read: `[users, width, …]` of the decoder.
            tokens: which; the whole vocabulary is `slice(None)`.
        """
        if self.linear is None:
            return read[..., tokens].float()
        bias = self.linear.bias
        return nn.functional.linear(read, self.linear.weight[tokens], None if bias is None else bias[tokens]).float()


def has_plain_blocks(model: PreTrainedModel) -> bool:
    """Whether a model's blocks and head may be run one by one: a known family, with nothing wrapped around them.

    Adapters may change the head, and weights that are sharded, or read from the disk block by block, exist only inside
    the whole model's forward.
    """
    if not isinstance(model, PreTrainedModel) or model.config.model_type not in _FAMILIES:
        return False
    head = model.get_output_embeddings()
    plain = type(head) is nn.Linear and type(head.weight) is nn.Parameter
    return plain and not any(parameter.is_meta for parameter in model.parameters())


class _Room(DynamicLayer):
    """One layer's keys and values in memory taken once: nothing is copied when tokens are appended."""

    def __init__(self, users: int, tokens: int) -> None:
        super().__init__()
        self.users, self.tokens, self.filled = users, tokens, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take the memory, in the form of the first keys `[users, heads, tokens, head_size]`."""
        _, heads, _, size = key_states.shape
        self.keys = key_states.new_empty(self.users, heads, self.tokens, size)
        self.values = value_states.new_empty(self.users, heads, self.tokens, value_states.shape[3])
        self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append, and return all; what one row brings is every user's."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, start, self.filled = len(key_states), self.filled, self.filled + key_states.shape[2]
        self.keys[:, :, start : self.filled] = key_states
        self.values[:, :, start : self.filled] = value_states
        return self.keys[:rows, :, : self.filled], self.values[:rows, :, : self.filled]

    def get_seq_length(self) -> int:
        """Return how many tokens are in."""
        return self.filled


def _cache(model: PreTrainedModel, users: int, tokens: int) -> Cache:
    return Cache(layers=[_Room(users, tokens) for _ in range(model.config.num_hidden_layers)])


def _shared_prefix(prompts: Sequence[NDArray[np.int64]]) -> int:
    """Return how many tokens all prompts begin with, at least one short of the shortest; 0 where it does not pay."""
    longest = min(map(len, prompts)) - 1
    heads = np.stack([prompt[:longest] for prompt in prompts])
    same = (heads == heads[0]).all(axis=0)
    shared = longest if same.all() else int(same.argmin())
    return shared if shared * (len(prompts) - 1) >= _SHARING_PAYS else 0
