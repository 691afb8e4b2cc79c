"""Model folders, dense and low-rank alike: one call writes, one call reads.

A folder holds what `save_pretrained` writes (config.json, safetensors, one file or shards with an index);
a low-rank one has also `low_rank.json`, the rank of each factored projection. Reading is strict: a tensor
that is missing, left over or of another shape is an error that names it, never a random initialisation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
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
from compression.lowrank import LowRankLinear, factored_linears, projection_names, replace_linear, shared_inputs
from compression.tensor_files import INDEX_FILE, WEIGHTS_FILE, TensorFiles, weight_files
from odllm_artifact import read_json, write_json

SUPPORTED_MODELS: dict[str, type[Any]] = {
    "llama": LlamaForCausalLM,
    "mistral": MistralForCausalLM,
    "qwen2": Qwen2ForCausalLM,
    "qwen3": Qwen3ForCausalLM,
}
"""model_type → class. A family whose blocks carry the same seven projections joins here."""

RANKS_FILE = "low_rank.json"
RANKS_SCHEMA_VERSION = 2
"""2 knows `shared_inputs`; a file of version 1 has none."""

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
INPUT_FACTOR = "input_factor.weight"

SHARD_BYTES = 2_000_000_000
"""A model larger than this is written as several files: one is in memory while it is written."""


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


def save_model(model: nn.Module, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write a model's folder: config.json, its weights and, if any layer is factored, low_rank.json.

    `folder` is one being written (`odllm_artifact.write_folder`); tied embeddings are stored once.

    Raises:
        UnsupportedModelError: the model is not of the LLaMA family.
        CheckpointError: it cannot be written.
    """
    values = model.state_dict()
    write_model(model, lambda name: values[name].detach().cpu().contiguous(), folder, shard_bytes=shard_bytes)


def write_model(
    model: Any, read: Callable[[str], torch.Tensor], folder: Path, *, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write the folder of a model whose values `read` returns by name; the model itself may be on `meta`.

    Args:
        model: gives the configuration, the tensors' names, and the ranks.
        read: called once for every tensor, in order, and for the embedding once more.
        folder: one being written (`odllm_artifact.write_folder`).
        shard_bytes: one file up to this size, otherwise shards of at most this size and an index. A shard is in
            memory while it is written.

    Raises:
        UnsupportedModelError: the model is not of the LLaMA family.
        CheckpointError: it cannot be written.
    """
    config = model.config
    check_supported(config)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(expected_shapes(model))
    _write_shards(names, read, folder, shard_bytes)
    config.dtype = read(EMBEDDING).dtype
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.save_pretrained(folder)
    ranks = {name: layer.rank for name, layer in factored_linears(model).items()}
    if ranks:
        content = {"schema_version": RANKS_SCHEMA_VERSION, "ranks": ranks, "shared_inputs": shared_inputs(model)}
        write_json(folder / RANKS_FILE, content)


def expected_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in the folder of a model, by name: what is used twice is stored once."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in shared_inputs(model):
        del shapes[f"{name}.{INPUT_FACTOR}"]
    if model.config.tie_word_embeddings:
        shapes.pop(HEAD, None)
    return shapes


def _write_shards(names: list[str], read: Callable[[str], torch.Tensor], folder: Path, shard_bytes: int) -> None:
    shards: list[tuple[Path, list[str]]] = []
    pending: dict[str, torch.Tensor] = {}
    total = 0

    def flush() -> None:
        path = folder / f"shard-{len(shards)}"
        write_tensors(pending, path)
        shards.append((path, list(pending)))
        pending.clear()

    for name in names:
        tensor = read(name)
        total += tensor.nbytes
        if pending and sum(other.nbytes for other in pending.values()) + tensor.nbytes > shard_bytes:
            flush()
        pending[name] = tensor
    flush()
    if len(shards) == 1:
        shards[0][0].replace(folder / WEIGHTS_FILE)
        return
    weight_map: dict[str, str] = {}
    for number, (path, inside) in enumerate(shards, start=1):
        file = path.replace(folder / f"model-{number:05}-of-{len(shards):05}.safetensors")
        weight_map |= dict.fromkeys(inside, file.name)
    write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": weight_map})


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
    files = open_tensors(model, folder)
    tensors = {name: files.read(name, dtype) for name in files.tensors}
    model.load_state_dict(tensors, strict=False, assign=True)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.config.dtype = model.dtype
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
        ranks, shared = _read_ranks(folder, projection_names(model))
        for name, rank in ranks.items():
            _factor(model, name, rank, folder)
        for name, owner in shared.items():
            _share(model, name, owner, folder)
    # The position tables are no part of a checkpoint: the configuration makes them.
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model


def open_tensors(model: Any, folder: Path) -> TensorFiles:
    """Return the tensors of a folder, which are exactly those of `model`; no value has been read.

    Raises:
        CheckpointError: a file or shard is missing or damaged, or a tensor is missing, left over or misshapen.
        ArtifactError: the index is damaged.
    """
    files = TensorFiles(weight_files(folder))
    _untie(files, model.config.tie_word_embeddings, folder)
    _check_tensors(model, files, folder)
    return files


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


def _read_ranks(folder: Path, known: list[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Return the ranks by projection, and whose input factor a projection reads through if not its own."""
    path = folder / RANKS_FILE
    if not path.is_file():
        return {}, {}
    content = read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version not in (1, RANKS_SCHEMA_VERSION):
        raise CheckpointError(
            f"{path}: schema_version is {version!r}, expected at most {RANKS_SCHEMA_VERSION}. "
            "Compress the model again, or use the odllm that wrote it."
        )
    ranks: dict[str, int] = content.get("ranks", {})
    for name, rank in ranks.items():
        if name not in known:
            raise CheckpointError(f"{path}: {name} is no projection of this model. Compress the model again.")
        if type(rank) is not int:
            raise CheckpointError(f"{path}: rank of {name} is {rank!r}, expected a whole number")
    return ranks, content.get("shared_inputs", {})


def _share(model: nn.Module, name: str, owner: str, folder: Path) -> None:
    layers = factored_linears(model)
    if name not in layers or owner not in layers:
        raise CheckpointError(f"{folder / RANKS_FILE}: {name} shares the input factor of {owner}; one has no rank")
    try:
        layers[name].share_input(layers[owner])
    except RankError as error:
        raise CheckpointError(f"{folder / RANKS_FILE}: {name} and {owner}: {error}") from error


def _factor(model: nn.Module, name: str, rank: int, folder: Path) -> None:
    """Put an empty low-rank layer where a dense projection is."""
    dense = model.get_submodule(name)
    assert isinstance(dense, nn.Linear)
    try:
        layer = LowRankLinear(dense.in_features, dense.out_features, rank, bias=dense.bias is not None)
    except RankError as error:
        raise CheckpointError(f"{folder / RANKS_FILE}: {name}: {error}") from error
    replace_linear(model, name, layer)


def _untie(files: TensorFiles, tied: bool, folder: Path) -> None:
    """Overlook a stored head that repeats the embedding it is tied to."""
    if not tied or HEAD not in files.tensors:
        return
    if EMBEDDING in files.tensors and not torch.equal(files.read(HEAD), files.read(EMBEDDING)):
        raise CheckpointError(
            f"{folder}: {HEAD} differs from {EMBEDDING}, but config.json says tie_word_embeddings. "
            "Set tie_word_embeddings to false to keep both."
        )
    del files.tensors[HEAD]


def _check_tensors(model: Any, files: TensorFiles, folder: Path) -> None:
    expected = expected_shapes(model)
    found = {name: stored.shape for name, stored in files.tensors.items()}
    problems = [f"missing {name}" for name in expected if name not in found]
    problems += [f"left over {name}" for name in sorted(found) if name not in expected]
    problems += [
        f"{name} is {list(found[name])}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointError(
            f"{folder}: the tensors are not those of config.json and {RANKS_FILE}: "
            f"{'; '.join(problems[:8])}{more}. Fetch or make the model again."
        )
