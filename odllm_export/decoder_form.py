"""Model folder in, `decoder` form out: a folder that Optimum's ORTModelForCausalLM opens (docs/interop.md)."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

import msgspec
import onnx

from lcrec.prompt import FILE_NAME as RECOMMENDER_CARD
from odllm_artifact import Progress, read_json, silent, write_folder, write_json
from odllm_export import bundle
from odllm_export.errors import ExportError
from odllm_export.families.decoder import Decoder
from odllm_export.families.registry import read_decoder
from odllm_export.graph.builder import OLDEST_ONNXRUNTIME, OPSET, WeightFile
from odllm_export.graph.decoder import build_decoder
from odllm_export.precision import find_precision
from odllm_export.tensors import ModelTensors, checkpoint_hash, parameter_count, read_shared_inputs

GRAPH = "model.onnx"
"""The one name that ORTModelForCausalLM looks for."""

WEIGHTS = "model.onnx.data"
CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
FORM = "odllm.json"
SCHEMA_VERSION = 1

COPIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    RECOMMENDER_CARD,
)
"""Files that go along unchanged where the model folder has them."""


def export_decoder(
    model_folder: Path,
    out: Path,
    *,
    precision: str = "fp32",
    max_positions: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the `decoder` form of a model, whole or not at all, and return what `odllm.json` says of it.

    Args:
        model_folder: a LLaMA-family model, dense or low-rank; it need not be a recommender.
        out: folder to write.
        precision: a name of `odllm_export.precision.PRECISIONS`.
        max_positions: longest sequence the graph can place; the model's `max_position_embeddings` if not given.
        overwrite: replace a folder that is there.
        progress: told about finished steps.

    Raises:
        UnsupportedModelError: the graph does not cover the model.
        TensorError: a tensor is missing, left over, misshapen or not finite.
        ExportError: an unknown precision, or no length of the rotary tables is known.
    """
    config, decoder = read_json(model_folder / CONFIG), read_decoder(model_folder)
    positions, storing = _positions(model_folder, config, max_positions), find_precision(precision)
    with write_folder(out, overwrite=overwrite) as folder:
        with ModelTensors(model_folder) as tensors, WeightFile(folder / WEIGHTS) as weights:
            model = build_decoder(decoder, tensors, storing, positions, weights)
        onnx.save(model, folder / GRAPH)
        progress(1, 2, "graph written")
        # Logits and caches are float32 whatever the checkpoint was stored in.
        config = {key: value for key, value in config.items() if key != "torch_dtype"}
        write_json(folder / CONFIG, config | {"dtype": "float32"})
        write_json(folder / GENERATION_CONFIG, _generation_config(model_folder, config))
        for name in COPIED:
            if (model_folder / name).is_file():
                shutil.copyfile(model_folder / name, folder / name)
        facts = _facts(model_folder, folder, decoder, precision, positions)
        write_json(folder / FORM, facts)
    progress(2, 2)
    return facts


def _positions(folder: Path, config: dict[str, Any], asked: int | None) -> int:
    positions = asked if asked is not None else config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        raise ExportError(
            f"the longest sequence is {positions!r} (option, or max_position_embeddings of {folder / CONFIG}); "
            "a number from 1 on is needed"
        )
    return positions


def _generation_config(folder: Path, config: dict[str, Any]) -> Any:
    """Return the model's own settings, or the special tokens that its configuration names."""
    path = folder / GENERATION_CONFIG
    if path.is_file():
        return read_json(path)
    return {key: config.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}


def _facts(model_folder: Path, folder: Path, decoder: Decoder, precision: str, positions: int) -> dict[str, Any]:
    ranks_file = model_folder / "low_rank.json"
    ranks = read_json(ranks_file)["ranks"] if ranks_file.is_file() else {}
    names = sorted(path.name for path in folder.iterdir())
    return {
        "schema_version": SCHEMA_VERSION,
        "form": "decoder",
        "files": msgspec.to_builtins(bundle.file_facts(folder, names)),
        "model": {
            "family": decoder.family,
            "parameters": parameter_count(model_folder),
            "keep_ratio": decoder.keep_ratio(ranks, read_shared_inputs(model_folder)),
            "precision": precision,
            "max_positions": positions,
        },
        "graph": {"opset": OPSET, "onnxruntime": OLDEST_ONNXRUNTIME},
        "provenance": {
            "checkpoint_sha256": checkpoint_hash(model_folder),
            **{package: importlib.metadata.version(package) for package in ("odllm", "onnx")},
        },
    }
