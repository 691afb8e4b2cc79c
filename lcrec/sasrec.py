"""SASRec: self-attention over item ids, the baseline that papers on recommendation quote.

Not a language model: one vector an item, a few causal blocks, and the next item is the one whose vector fits best.
Shape and recipe are RecBole's defaults with the full cross-entropy loss, which the published figures were made with;
all prefixes of a sequence learn in one pass, where RecBole cuts them into samples.

Source: Kang and McAuley, Self-Attentive Sequential Recommendation (ICDM 2018); RecBole 1.2, `SASRec`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from lcrec.dataset import Dataset
from lcrec.errors import ModelError
from lcrec.evaluate import Ranker, Ranking, items_ranking
from lcrec.metrics import ndcg
from lcrec.train import has_bfloat16
from lcrec.windows import cut_windows
from odllm_artifact import Progress, read_json, silent, write_json

CARD = "sasrec.json"
WEIGHTS = "sasrec.safetensors"

_ANSWERS = 50
"""Items a list holds: items that share a code are one answer, and ten answers are asked for."""

_SCORED_ROWS = 128
"""Hidden states whose logits over all items are held at once: about what a core's cache holds, twice as fast as all."""

_VALIDATION_BATCH = 64


class SasRecRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape and training of a SASRec.

    Attributes:
        hidden: width of an item's vector.
        layers: blocks.
        heads: of attention.
        inner: width of the MLP.
        dropout: of embeddings, attention weights and both outputs of a block.
        max_items: history items that it sees.
        learning_rate: of Adam, constant.
        batch_users: windows a step; 256 hold about 1,400 predictions of short histories.
        epochs: at most.
        patience: validations without gain before training stops.
    """

    hidden: int = 64
    layers: int = 2
    heads: int = 2
    inner: int = 256
    dropout: float = 0.5
    max_items: int = 20
    learning_rate: float = 1e-3
    batch_users: int = 256
    epochs: int = 200
    patience: int = 10


class SasRecCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a SASRec's folder says of it.

    Attributes:
        recipe: as it was trained.
        items: rows of the catalogue.
        dataset: as `lcrec.train.dataset_facts` has it.
        seed: of the training.
        seconds: that it took.
        validation_ndcg_10: NDCG@10 on the validation split, by epoch.
    """

    recipe: SasRecRecipe
    items: int
    dataset: dict[str, str]
    seed: int
    seconds: float
    validation_ndcg_10: tuple[float, ...] = msgspec.field(name="validation_ndcg@10")


class SasRec(nn.Module):
    """The network: item rows `[batch, n]`, padded on the right with `items`, to hidden states `[batch, n, hidden]`."""

    def __init__(self, items: int, recipe: SasRecRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.items = nn.Embedding(items + 1, recipe.hidden, padding_idx=items)
        self.positions = nn.Embedding(recipe.max_items, recipe.hidden)
        self.norm = nn.LayerNorm(recipe.hidden)
        self.blocks = nn.ModuleList(_Block(recipe) for _ in range(recipe.layers))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the hidden states `[batch, n, hidden]`; a causal network needs no mask for padding on the right."""
        embedded = self.items(rows) + self.positions.weight[: rows.shape[1]]
        hidden = F.dropout(self.norm(embedded), self.recipe.dropout, self.training)
        for block in self.blocks:
            hidden = block(hidden)
        return hidden

    def scores(self, hidden: Tensor) -> Tensor:
        """Return the logits of all items, `[..., items]`, after hidden states `[..., hidden]`."""
        return hidden @ self.items.weight[:-1].mT


class _Block(nn.Module):
    """Causal attention and an MLP, each followed by dropout, the sum with its input, and a norm."""

    def __init__(self, recipe: SasRecRecipe) -> None:
        super().__init__()
        self.heads, self.dropout = recipe.heads, recipe.dropout
        self.qkv = nn.Linear(recipe.hidden, 3 * recipe.hidden)
        self.out = nn.Linear(recipe.hidden, recipe.hidden)
        self.up = nn.Linear(recipe.hidden, recipe.inner)
        self.down = nn.Linear(recipe.inner, recipe.hidden)
        self.attention_norm = nn.LayerNorm(recipe.hidden)
        self.mlp_norm = nn.LayerNorm(recipe.hidden)

    def forward(self, hidden: Tensor) -> Tensor:
        heads = self.qkv(hidden).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [3, batch, heads, n, size]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], dropout_p=dropout, is_causal=True)
        attended = self.out(mixed.transpose(1, 2).flatten(2))  # [batch, n, hidden]
        hidden = self.attention_norm(hidden + F.dropout(attended, self.dropout, self.training))
        widened = self.down(F.gelu(self.up(hidden)))
        normed: Tensor = self.mlp_norm(hidden + F.dropout(widened, self.dropout, self.training))
        return normed


def train_sasrec(
    dataset: Dataset,
    recipe: SasRecRecipe,
    *,
    facts: dict[str, str],
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[SasRec, SasRecCard]:
    """Train on the users' training parts; stop early on validation NDCG@10 and keep the best weights.

    Args:
        dataset: whose items it ranks.
        recipe: shape and training.
        facts: what the card says about the data.
        seed: of initialisation, windows, shuffling and dropout.
        progress: told about finished steps.

    Raises:
        ModelError: no user has two items to train on, or the heads do not divide the hidden width.
    """
    _check(dataset, recipe)
    started = time.monotonic()
    torch.manual_seed(seed)
    model = SasRec(len(dataset.items), recipe)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    random = np.random.default_rng(seed)
    scores: list[float] = []
    best = model.state_dict()
    for epoch in range(recipe.epochs):
        note = f"validation NDCG@10 {scores[-1]:.4f}" if scores else ""
        batches = _shuffled_batches(dataset, recipe, random)
        _train_epoch(model, optimizer, batches, _epoch_progress(progress, epoch, recipe.epochs, note))
        scores.append(_validate(model, dataset))
        if scores[-1] == max(scores):
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if len(scores) - 1 - scores.index(max(scores)) >= recipe.patience:
            break
    model.load_state_dict(best)
    progress(recipe.epochs, recipe.epochs, f"best validation NDCG@10 {max(scores):.4f}")
    seconds = time.monotonic() - started
    return model.eval(), SasRecCard(recipe, len(dataset.items), facts, seed, seconds, tuple(scores))


def _epoch_progress(progress: Progress, epoch: int, epochs: int, note: str) -> Progress:
    return lambda done, total, _="": progress(epoch + done / total, epochs, note)


def _check(dataset: Dataset, recipe: SasRecRecipe) -> None:
    if recipe.hidden % recipe.heads:
        raise ModelError(f"{recipe.heads} heads do not divide a hidden width of {recipe.hidden}. Change one of them.")
    if not any(len(sequence) > 1 for sequence in dataset.split().train):
        raise ModelError(
            f"no user of {dataset.name} has two items beside the two that are held out: expected one at least. "
            "Import more interactions."
        )


def _train_epoch(
    model: SasRec, optimizer: torch.optim.Optimizer, batches: Sequence[Sequence[NDArray[np.int32]]], progress: Progress
) -> None:
    """Show every window once: the cross-entropy of each item given those before it, over all items."""
    model.train()
    padding = model.items.num_embeddings - 1
    for number, windows in enumerate(batches):
        rows = _padded(windows, padding)
        shown, wanted = rows[:, :-1], rows[:, 1:]
        real = wanted != padding
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            hidden = model(shown)[real]
        hidden.backward(_backward_to_hidden(model, hidden.detach(), wanted[real]))
        optimizer.step()
        progress(number, len(batches))


def _backward_to_hidden(model: SasRec, hidden: Tensor, wanted: Tensor) -> Tensor:
    """Add the mean loss's gradients to the item vectors as outputs; return those of hidden states `[n, hidden]`."""
    gradients = []
    for states, items in zip(hidden.split(_SCORED_ROWS), wanted.split(_SCORED_ROWS), strict=True):
        states.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            scores = model.scores(states)
        (F.cross_entropy(scores.float(), items, reduction="sum") / len(wanted)).backward()
        gradients.append(states.grad)
    return torch.cat(gradients)


def _shuffled_batches(
    dataset: Dataset, recipe: SasRecRecipe, random: np.random.Generator
) -> list[list[NDArray[np.int32]]]:
    """Return the windows of an epoch: those of similar length share a batch, for little padding, the rest is chance."""
    windows = cut_windows(dataset.split().train, recipe.max_items, random)
    order, size = random.permutation(len(windows)), recipe.batch_users
    pools = [
        sorted(order[i : i + 16 * size], key=lambda row: len(windows[row])) for i in range(0, len(order), 16 * size)
    ]
    batches = [[windows[row] for row in pool[i : i + size]] for pool in pools for i in range(0, len(pool), size)]
    return [batches[i] for i in random.permutation(len(batches))]


def _padded(sequences: Sequence[NDArray[np.int32]], padding: int) -> Tensor:
    """Return item rows `[batch, longest]`, int64, filled up on the right."""
    return nn.utils.rnn.pad_sequence(
        [torch.from_numpy(sequence.astype(np.int64)) for sequence in sequences], batch_first=True, padding_value=padding
    )


@torch.inference_mode()
def _validate(model: SasRec, dataset: Dataset) -> float:
    """Return NDCG@10 over all users, counting only the item itself as a hit: no list is made, which is cheaper."""
    model.eval()
    split, ranks = dataset.split(), []
    for start in range(0, len(split.validation_target), _VALIDATION_BATCH):
        users = slice(start, start + _VALIDATION_BATCH)
        scores = model.scores(_last_hidden(model, split.validation_history[users]))
        target = torch.from_numpy(split.validation_target[users]).long()
        ranks.append((scores > scores.gather(1, target[:, None])).sum(dim=1).numpy())
    return float(ndcg(np.concatenate(ranks), 10).mean())


def _last_hidden(model: SasRec, histories: Sequence[NDArray[np.int32]]) -> Tensor:
    """Return the hidden states behind the last item of every history, `[batch, hidden]`."""
    recent = [history[-model.recipe.max_items :] for history in histories]
    last = torch.tensor([len(history) - 1 for history in recent])
    hidden: Tensor = model(_padded(recent, model.items.num_embeddings - 1))
    return hidden[torch.arange(len(recent)), last]


def sasrec_ranker(model: SasRec, dataset: Dataset) -> Ranker:
    """Return the ranker of a trained SASRec over the items of the dataset that it was trained on.

    Raises:
        ModelError: the dataset has another number of items.
    """
    items = model.items.num_embeddings - 1
    if items != len(dataset.items):
        raise ModelError(f"the SASRec knows {items} items, {dataset.name} has {len(dataset.items)}. Train it again.")
    codes = dataset.require_codes().codes

    @torch.inference_mode()
    def rank(histories: Sequence[NDArray[np.int32]]) -> list[Ranking]:
        model.eval()
        best = model.scores(_last_hidden(model, histories)).topk(min(_ANSWERS, items)).indices.numpy()
        return [items_ranking(rows, codes) for rows in best]

    return rank


def save_sasrec(model: SasRec, card: SasRecCard, folder: Path) -> None:
    """Write a trained SASRec into a folder that is being written.

    Raises:
        ModelError: it cannot be written.
    """
    try:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    except SafetensorError as error:  # its own kind of error even for a full disk
        raise ModelError(f"cannot write {folder / WEIGHTS}: {error}. Free some space.") from error
    write_json(folder / CARD, msgspec.to_builtins(card))


def load_sasrec(folder: Path) -> tuple[SasRec, SasRecCard]:
    """Return the SASRec of a folder.

    Raises:
        ModelError: it is missing parts, damaged, or from another version.
        ArtifactError: `sasrec.json` is damaged.
    """
    try:
        card = msgspec.convert(read_json(folder / CARD), SasRecCard)
        model = SasRec(card.items, card.recipe)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (msgspec.ValidationError, SafetensorError, OSError, RuntimeError) as error:
        raise ModelError(f"{folder} holds no SASRec that can be read: {error}. Train it again.") from error
    return model.eval(), card
