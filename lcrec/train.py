"""Training from scratch: every user's sequence once an epoch, loss on every code, early stop on validation NDCG."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lcrec.dataset import Dataset
from lcrec.dataset_files import read_codes_method
from lcrec.errors import ModelError
from lcrec.evaluate import dataset_catalog, evaluate, model_ranker
from lcrec.model import Preset, new_model, parameter_count
from lcrec.objective import Teacher, next_code_loss
from lcrec.prompt import Prompt, RecommenderCard, write_card
from lcrec.tokenizer import build_tokenizer, make_prompt
from lcrec.torch_file import read_torch_file, write_torch_file
from lcrec.windows import TokenBatch, training_batches
from odllm_artifact import Progress, partial_folder, resolve_output, sha256_file, silent, write_folder

VALIDATION_USERS = 1000
"""At most so many users decide when to stop; more would cost more than they tell."""


@dataclass
class _Run:
    """All of a training run that a checkpoint must hold."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best_ndcg: float = -1.0
    best_state: dict[str, Tensor] | None = None
    since_best: int = 0
    history: list[dict[str, float]] | None = None

    def save(self, path: Path, fingerprint: str) -> None:
        state = {key: value for key, value in self.__dict__.items() if key not in ("model", "optimizer")}
        state |= {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        state["fingerprint"] = fingerprint
        write_torch_file(path, state)

    def load(self, path: Path, fingerprint: str) -> None:
        """Go on from a checkpoint, unless another recipe or other data wrote it, or it is damaged."""
        state = read_torch_file(path, fingerprint)
        if state is None:
            return
        del state["fingerprint"]
        self.model.load_state_dict(state.pop("model"))
        self.optimizer.load_state_dict(state.pop("optimizer"))
        self.__dict__.update(state)


def train(
    dataset: Dataset,
    preset: Preset,
    out: Path,
    *,
    facts: dict[str, str],
    teacher: Teacher | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a recommender and write its folder; a killed run goes on from its last finished epoch.

    Args:
        dataset: with item codes.
        preset: shape and recipe.
        out: the model folder.
        facts: what `recommender.json` says about the data (`dataset_facts`).
        teacher: a trained recommender to learn from beside the data.
        seed: of initialisation, windows and shuffling.
        overwrite: replace a folder that is there.
        progress: told about finished steps.

    Returns:
        What `recommender.json` says about the training: seconds, epochs, validation NDCG@10 by epoch.

    Raises:
        ItemCodesError: the dataset has no codes.
        ArtifactError: `out` is in the way.
        ModelError: the model cannot be written, or the teacher has another prompt.
    """
    codes = dataset.require_codes()
    tokenizer = build_tokenizer(preset.prompt_text, codes.sizes)
    prompt = make_prompt(tokenizer, preset.prompt_text, codes.sizes, preset.max_items)
    if teacher is not None:
        teacher.require_prompt(prompt)
    model = new_model(preset, len(tokenizer), prompt, seed=seed)
    started = time.monotonic()
    run = _Run(model, _optimizer(model, preset), history=[])
    resolve_output(out, overwrite=overwrite)
    checkpoint = partial_folder(out) / "training.pt"
    fingerprint = _fingerprint(dataset, preset, seed, teacher)
    if checkpoint.is_file():
        run.load(checkpoint, fingerprint)
    with write_folder(out, overwrite=overwrite) as folder:
        _fit(run, dataset, preset, prompt, teacher, seed, lambda: run.save(checkpoint, fingerprint), progress)
        assert run.best_state is not None
        model.load_state_dict(run.best_state)
        report = {
            "seconds": time.monotonic() - started,
            "epochs": run.epoch,
            "parameters": parameter_count(model),
            "validation_ndcg@10": run.best_ndcg,
            "history": run.history,
            "seed": seed,
            "teacher": None if teacher is None else {"sha256": teacher.sha256, "weight": teacher.weight},
        }
        save_language_model(model, tokenizer, folder)
        write_card(RecommenderCard(prompt, preset.prompt_text, facts, report), folder)
    return report


def save_language_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write model and tokenizer into a folder.

    Raises:
        ModelError: they cannot be written.
    """
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except SafetensorError as error:  # its own kind of error even for a full disk
        raise ModelError(f"cannot write the model into {folder.parent}: {error}. Free some space.") from error


def dataset_facts(dataset: Dataset, folder: Path) -> dict[str, str]:
    """Return what a recommender records of its dataset: the name, and hashes of items, sequences, codes, users' texts.

    The quantizer's hash stands among them where the codes came from one.

    Raises:
        ArtifactError: a file of the folder is missing.
    """
    names = ["items.jsonl", "sequences.jsonl", "codes.json", *(["user_texts.jsonl"] if dataset.user_texts else [])]
    facts = {"name": dataset.name} | {f"{name}_sha256": sha256_file(folder / name) for name in names}
    quantizer = read_codes_method(folder / "codes.json").get("quantizer_sha256")
    return facts if quantizer is None else facts | {"quantizer_sha256": quantizer}


def _fingerprint(dataset: Dataset, preset: Preset, seed: int, teacher: Teacher | None) -> str:
    """Return a hash of all that decides a training run."""
    taught = [] if teacher is None else [teacher.sha256, teacher.weight]
    digest = hashlib.sha256(msgspec.json.encode([preset, seed, dataset.item_ids, *taught]))
    for array in (dataset.require_codes().codes, *dataset.sequences):
        digest.update(array.tobytes())
    return digest.hexdigest()


def _fit(
    run: _Run,
    dataset: Dataset,
    preset: Preset,
    prompt: Prompt,
    teacher: Teacher | None,
    seed: int,
    save: Callable[[], None],
    progress: Progress,
) -> None:
    steps = len(training_batches(dataset, prompt, preset.batch_windows, seed=seed))
    while run.epoch < preset.epochs and run.since_best < preset.patience:
        # One seed an epoch: a resumed run draws the windows and the dropout that the killed one would have drawn.
        torch.manual_seed(seed * 1000 + run.epoch)
        batches = training_batches(
            dataset, prompt, preset.batch_windows, seed=seed * 1000 + run.epoch, left_out=preset.left_out
        )
        losses = []
        for i, batch in enumerate(batches):
            done = run.epoch + i / len(batches)
            for group in run.optimizer.param_groups:
                group["lr"] = _learning_rate(preset, done / preset.epochs, 1 / (preset.epochs * steps))
            losses.append(_step(run, batch, preset, teacher))
            progress(done, preset.epochs, f"loss {np.mean(losses[-20:]):.3f}")
        run.epoch += 1
        score = _validate(run.model, dataset, prompt)
        assert run.history is not None
        run.history.append({"loss": float(np.mean(losses)), "ndcg@10": score})
        run.since_best += 1
        if score > run.best_ndcg:
            run.best_ndcg, run.since_best = score, 0
            run.best_state = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
        save()
        progress(run.epoch, preset.epochs, f"validation NDCG@10 {score:.4f}")
    progress(preset.epochs, preset.epochs, f"best validation NDCG@10 {run.best_ndcg:.4f}")


def _step(run: _Run, batch: TokenBatch, preset: Preset, teacher: Teacher | None) -> float:
    run.model.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=preset.bfloat16 and has_bfloat16()):
        loss = next_code_loss(run.model, batch, preset.dropout, teacher)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    run.optimizer.step()
    return float(loss.detach())


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices natively; emulated they are slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _optimizer(model: PreTrainedModel, preset: Preset) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": preset.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=preset.learning_rate, betas=(0.9, 0.98))


def _learning_rate(preset: Preset, done: float, step: float) -> float:
    """Linear warm-up over the first twentieth, then a cosine to a hundredth of the peak."""
    warm_up = min(1.0, (done + step) / 0.05)
    return preset.learning_rate * warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _validate(model: PreTrainedModel, dataset: Dataset, prompt: Prompt) -> float:
    model.eval()
    split = dataset.split()
    ranker = model_ranker(model, prompt, dataset_catalog(dataset), num_beams=10)
    result = evaluate(
        ranker,
        split.validation_history[:VALIDATION_USERS],
        split.validation_target[:VALIDATION_USERS],
        dataset.require_codes().codes,
    )
    return float(result.summary()["ndcg@10"])
