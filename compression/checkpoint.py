"""Model folders, dense and low-rank alike: one call writes, one call reads.

A folder holds what `save_pretrained` writes (config.json, safetensors, one file or shards with an index);
a low-rank one has also `low_rank.json`, the rank of each factored projection. Reading is strict: a tensor
that is missing, left over or of another shape is an error that names it, never a random initialisation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import (
    AutoConfig,
    GenerationConfig,
    LlamaForCausalLM,
    MistralForCausalLM,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from compression.errors import CheckpointError, RankError, UnsupportedModelError
from compression.lowrank import LowRankLinear, factored_linears, projection_names, replace_linear
from odllm_artifact import read_json, write_json

SUPPORTED_MODELS: dict[str, type[Any]] = {
    "llama": LlamaForCausalLM,
    "mistral": MistralForCausalLM,
    "qwen2": Qwen2ForCausalLM,
    "qwen3": Qwen3ForCausalLM,
}
"""model_type → class. A family whose blocks carry the same seven projections joins here."""

RANKS_FILE = "low_rank.json"
RANKS_SCHEMA_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
RECOMPUTED_SUFFIX = "rotary_emb.inv_freq"
"""Older checkpoints store these tables; they follow from the configuration and are made anew."""


def check_supported(config: Any) -> None:
    """Check that a transformers configuration is of a family this package can compress.

    Raises:
        UnsupportedModelError: it is not, or its attention slides: blocks are walked under full attention.
    """
    found = getattr(config, "model_type", None)
    if found not in SUPPORTED_MODELS:
        raise UnsupportedModelError(
            f"model_type is {found!r}; supported: {', '.join(map(repr, SUPPORTED_MODELS))}. "
            "Choose a model of the LLaMA architecture."
        )
    # Qwen's configurations clear the window themselves where use_sliding_window is false.
    if (window := getattr(config, "sliding_window", None)) is not None:
        raise UnsupportedModelError(
            f"the {found} model has a sliding window of {window} tokens; supported: full attention. If no prompt is "
            "longer than the window, set sliding_window to null in config.json: nothing else changes."
        )


def save_model(model: nn.Module, folder: Path) -> None:
    """Write config.json, model.safetensors and, if any layer is factored, low_rank.json into `folder`.

    `folder` is one being written (`odllm_artifact.write_folder`); tied embeddings are stored once.

    Raises:
        UnsupportedModelError: the model is not of the LLaMA family.
        CheckpointError: it cannot be written.
    """
    config: Any = model.config
    check_supported(config)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        tensors.pop(HEAD, None)
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(tensors, folder / WEIGHTS_FILE)
    config.dtype = tensors[EMBEDDING].dtype
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.save_pretrained(folder)  # type: ignore[union-attr, operator]
    ranks = {name: layer.rank for name, layer in factored_linears(model).items()}
    if ranks:
        write_json(folder / RANKS_FILE, {"schema_version": RANKS_SCHEMA_VERSION, "ranks": ranks})


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file.

    Raises:
        CheckpointError: it cannot be written, for want of space as a rule; nothing is left at `path`.
    """
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:  # its own kind of error even for a full disk
        path.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error}. Free some space, or choose another folder.") from error


def load_model(folder: Path, *, dtype: torch.dtype | None = torch.float32) -> Any:
    """Return the model of a folder, dense or low-rank, on the CPU, in evaluation mode.

    Args:
        folder: as `save_model` or `save_pretrained` wrote it.
        dtype: what floating-point tensors are converted to; None keeps what is stored.

    Returns:
        The family's `…ForCausalLM`, its factored projections `LowRankLinear`.

    Raises:
        CheckpointError: a file or shard is missing or damaged, or a tensor is missing, left over or
            misshapen.
        UnsupportedModelError: the model is not of the LLaMA family.
        ArtifactError: a JSON file is damaged.
    """
    model = empty_model(folder)
    config = model.config
    tensors = _read_tensors(folder, dtype)
    _untie(tensors, config.tie_word_embeddings, folder)
    _check_tensors(model, tensors, folder)
    model.load_state_dict(tensors, strict=False, assign=True)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.config.dtype = model.dtype
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.eval()


def empty_model(folder: Path) -> Any:
    """Return the model of a folder, dense or low-rank, whose parameters have shapes but no values (device `meta`).

    Raises:
        CheckpointError: config.json is missing, or the ranks are not those of such a model.
        UnsupportedModelError: the model is not of the LLaMA family.
        ArtifactError: a JSON file is damaged.
    """
    config = _read_config(folder)
    with torch.device("meta"):
        model = SUPPORTED_MODELS[config.model_type](config)
        for name, rank in _read_ranks(folder, projection_names(model)).items():
            _factor(model, name, rank, folder)
    # The position tables are no part of a checkpoint: the configuration makes them.
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    return model


def check_stored(model: nn.Module, folder: Path) -> None:
    """Check by the headers of a folder's files that they hold the tensors of `model`; no values are read.

    Raises:
        CheckpointError: a file or shard is missing or damaged, or a tensor is missing, left over or misshapen.
    """
    found: dict[str, torch.Tensor] = {}
    for path in _weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (not a mapping)
                    found[name] = torch.empty(file.get_slice(name).get_shape(), device="meta")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors ({error}). Fetch or make it again.") from error
    if model.config.tie_word_embeddings:  # type: ignore[union-attr]
        found.pop(HEAD, None)
    _check_tensors(model, {name: one for name, one in found.items() if not name.endswith(RECOMPUTED_SUFFIX)}, folder)


def _read_config(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} holds no config.json: expected a model folder, as `odllm train` or `save_pretrained` writes it."
        )
    content = read_json(folder / "config.json")
    model_type = content.get("model_type") if isinstance(content, dict) else None
    if model_type not in SUPPORTED_MODELS:
        raise UnsupportedModelError(
            f"{folder / 'config.json'}: model_type is {model_type!r}; supported: "
            f"{', '.join(map(repr, SUPPORTED_MODELS))}. Choose a model of the LLaMA architecture."
        )
    config = AutoConfig.from_pretrained(folder)
    check_supported(config)
    return config


def _read_ranks(folder: Path, known: list[str]) -> dict[str, int]:
    path = folder / RANKS_FILE
    if not path.is_file():
        return {}
    content = read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != RANKS_SCHEMA_VERSION:
        raise CheckpointError(
            f"{path}: schema_version is {version!r}, expected {RANKS_SCHEMA_VERSION}. "
            "Compress the model again, or use the odllm that wrote it."
        )
    ranks: dict[str, int] = content.get("ranks", {})
    for name, rank in ranks.items():
        if name not in known:
            raise CheckpointError(f"{path}: {name} is no projection of this model. Compress the model again.")
        if type(rank) is not int:
            raise CheckpointError(f"{path}: rank of {name} is {rank!r}, expected a whole number")
    return ranks


def _factor(model: nn.Module, name: str, rank: int, folder: Path) -> None:
    """Put an empty low-rank layer where a dense projection is."""
    dense = model.get_submodule(name)
    assert isinstance(dense, nn.Linear)
    try:
        layer = LowRankLinear(dense.in_features, dense.out_features, rank, bias=dense.bias is not None)
    except RankError as error:
        raise CheckpointError(f"{folder / RANKS_FILE}: {name}: {error}") from error
    replace_linear(model, name, layer)


def _read_tensors(folder: Path, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in _weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (not a mapping)
                    tensors[name] = _converted(file.get_tensor(name), dtype)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors ({error}). Fetch or make it again.") from error
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(RECOMPUTED_SUFFIX)}


def _converted(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def _weight_files(folder: Path) -> list[Path]:
    """Return the files the weights are in: one, or the shards that the index names."""
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if not (folder / INDEX_FILE).is_file():
        raise CheckpointError(
            f"{folder} holds neither {WEIGHTS_FILE} nor {INDEX_FILE}. Only safetensors are read: save the "
            "model again with `model.save_pretrained(folder)` of a current transformers."
        )
    index = read_json(folder / INDEX_FILE)
    if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
        raise CheckpointError(f"{folder / INDEX_FILE} has no weight_map. Fetch the model again.")
    shards = sorted(set(index["weight_map"].values()))
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {len(shards)} shards missing: {', '.join(missing)}. Fetch them again."
        )
    return [folder / shard for shard in shards]


def _untie(tensors: dict[str, torch.Tensor], tied: bool, folder: Path) -> None:
    """Drop a stored head that repeats the embedding it is tied to."""
    if not tied or HEAD not in tensors:
        return
    head = tensors.pop(HEAD)
    if EMBEDDING in tensors and not torch.equal(head, tensors[EMBEDDING]):
        raise CheckpointError(
            f"{folder}: {HEAD} differs from {EMBEDDING}, but config.json says tie_word_embeddings. "
            "Set tie_word_embeddings to false to keep both."
        )


def _check_tensors(model: nn.Module, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:  # type: ignore[union-attr]
        expected.pop(HEAD, None)
    problems = [f"missing {name}" for name in expected if name not in tensors]
    problems += [f"left over {name}" for name in sorted(tensors) if name not in expected]
    problems += [
        f"{name} is {list(tensors[name].shape)}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointError(
            f"{folder}: the tensors are not those of config.json and {RANKS_FILE}: "
            f"{'; '.join(problems[:8])}{more}. Fetch or make the model again."
        )
