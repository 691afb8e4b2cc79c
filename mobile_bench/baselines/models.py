"""The benchmark's models: seeded, random, dense and factored; built once and kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from compression.allocation import uniform_rank
from compression.checkpoint import load_model, save_model
from compression.lowrank import LowRankLinear, projection_names, replace_linear
from lcrec.prompt import PromptText, RecommenderCard, write_card
from mobile_bench.baselines.workload import Shape, make_prompt
from odllm_artifact import read_json, write_folder, write_json

BUILD_FILE = "build.json"
_VERSION = 1
_SEED = 135


def dense_model(shape: Shape) -> LlamaForCausalLM:
    """Return the random dense model of a shape, tied embeddings, in evaluation mode."""
    torch.manual_seed(_SEED)
    config = LlamaConfig(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.intermediate,
        vocab_size=shape.vocabulary,
        max_position_embeddings=2048,
        initializer_range=shape.weight_std,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def factor_randomly(model: nn.Module, keep_ratio: float) -> None:
    """Put random factors of the uniform rank where the dense projections are.

    A·B has the variance of the random dense matrix: time is the same as that of trained factors of this rank.
    """
    for name in projection_names(model):
        dense = model.get_submodule(name)
        rows, columns = dense.weight.shape  # type: ignore[misc]
        rank = uniform_rank((int(rows), int(columns)), keep_ratio)
        layer = LowRankLinear(int(columns), int(rows), rank)
        std = (dense.weight.std().item() ** 2 / rank) ** 0.25  # type: ignore[operator]
        for weight in layer.parameters():
            nn.init.normal_(weight, std=std)
        replace_linear(model, name, layer)


def ensure_model(shape: Shape, keep_ratio: float, folder: Path) -> None:
    """Write the model of a shape, unless the folder holds that very model already."""
    recipe = {"version": _VERSION, "seed": _SEED, "keep_ratio": keep_ratio, **msgspec.to_builtins(shape)}
    if (folder / BUILD_FILE).is_file() and read_json(folder / BUILD_FILE) == msgspec.to_builtins(recipe):
        return
    model = dense_model(shape)
    if keep_ratio < 1:
        factor_randomly(model, keep_ratio)
    card = RecommenderCard(
        prompt=make_prompt(shape),
        prompt_text=PromptText(prefix="", separator="", suffix=""),
        dataset={"name": f"random-{shape.name}"},
        training={"method": "none: random weights for timing"},
    )
    with write_folder(folder, overwrite=True) as staging:
        save_model(model, staging)
        write_card(card, staging)
        if keep_ratio < 1:
            write_json(staging / "compression.json", {"keep_ratio": keep_ratio, "method": "random factors"})
        write_json(staging / BUILD_FILE, recipe)


def load_for_search(folder: Path) -> LlamaForCausalLM:
    """Return a model of a folder, ready for one-threaded inference."""
    torch.set_num_threads(1)
    model: LlamaForCausalLM = load_model(folder)
    return model
