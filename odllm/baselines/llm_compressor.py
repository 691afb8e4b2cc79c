"""GPTQ and SparseGPT by llm-compressor, in an environment of its own (`make baselines`).

    .venv-baselines/bin/python -m odllm.baselines.llm_compressor MODEL SEQUENCES OUT gptq --group 128

llm-compressor excludes the transformers that we use, so this program runs there, with our packages installed without
their dependencies. It reads a dense model folder and calibration sequences, has the seven projections of every block
rounded or pruned, and writes the result as a plain dense folder: rounded weights are written as the numbers that they
stand for. So every model, ours and theirs, is evaluated by the same code in our own environment.
`odllm baseline gptq` and `odllm baseline sparsegpt` call it.

Source: Frantar et al., GPTQ (ICLR 2023); Frantar and Alistarh, SparseGPT (ICML 2023).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from compression.checkpoint import load_model, save_model
from compression.lowrank import projection_names
from odllm_artifact import write_folder, write_json

RECORD = "llm_compressor.json"
BATCH = 16
"""Sequences at once, all of one length."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="GPTQ or SparseGPT on a recommender's projections.")
    parser.add_argument("model", type=Path, help="dense model folder")
    parser.add_argument(
        "sequences", type=Path, help="safetensors with input_ids and attention_mask [sequences, tokens]"
    )
    parser.add_argument("out", type=Path, help="model folder to write")
    parser.add_argument("method", choices=("gptq", "sparsegpt"))
    parser.add_argument("--group", type=int, default=128, help="inputs that share a scale (gptq)")
    parser.add_argument("--mask", default="0:0", help="0:0 unstructured, or 2:4 (sparsegpt)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    run(options.model, options.sequences, options.out, options.method, group=options.group, mask=options.mask)


def run(model_folder: Path, sequences: Path, out: Path, method: str, *, group: int = 128, mask: str = "0:0") -> None:
    """Compress the projections of a dense model into the folder `out`.

    Args:
        model_folder: a dense recommender.
        sequences: calibration, `input_ids` and `attention_mask [sequences, tokens]`.
        out: the folder to write: config, weights and `llm_compressor.json`.
        method: `gptq` (4 bits, symmetric, a scale for `group` inputs) or `sparsegpt` (half of the weights).
        group: must divide the inputs of every projection.
        mask: `0:0` drops the least important half of each block of inputs, `2:4` two of every four.

    Raises:
        CheckpointError: `model_folder` holds no model that can be read, or `out` cannot be written.
    """
    from llmcompressor import oneshot

    started = time.monotonic()
    work = load_model(model_folder)
    work.config._name_or_path = str(model_folder)  # where llm-compressor looks for an earlier quantisation
    batches = batches_of_one_length(load_file(sequences))
    oneshot(
        model=work,
        dataset=batches,
        recipe=_modifier(method, projection_names(work), group, mask),
        pipeline="sequential",
        # It insists on one where there is data, and has nothing to tokenize here.
        processor=PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"": 0}, unk_token=""))),
    )
    result = load_model(model_folder)
    with torch.no_grad():
        for name in projection_names(result):
            result.get_submodule(name).weight.copy_(work.get_submodule(name).weight)
    record = {
        "method": method,
        "options": {"bits": 4, "group": group} if method == "gptq" else {"sparsity": 0.5, "mask": mask},
        "library": f"llmcompressor {version('llmcompressor')}",
        "sequences": sum(len(batch["input_ids"]) for batch in batches),
        "tokens": sum(batch["input_ids"].numel() for batch in batches),
        "seconds": time.monotonic() - started,
    }
    with write_folder(out) as folder:
        save_model(result, folder)
        write_json(folder / RECORD, record)


def _modifier(method: str, names: list[str], group: int, mask: str) -> Any:
    if method == "sparsegpt":
        from llmcompressor.modifiers.pruning import SparseGPTModifier

        return SparseGPTModifier(sparsity=0.5, mask_structure=mask, targets=names)
    from llmcompressor.modifiers.gptq import GPTQModifier

    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": group}
    groups = {"projections": {"targets": names, "weights": weights}}
    return GPTQModifier(config_groups=groups)


def batches_of_one_length(tensors: dict[str, torch.Tensor]) -> DataLoader[dict[str, torch.Tensor]]:
    """Return batches without padding: neither method leaves masked positions out of its statistics.

    Args:
        tensors: `input_ids` and `attention_mask [sequences, tokens]`, padded on either side.
    """
    lengths = tensors["attention_mask"].sum(dim=1)
    batches = []
    for length in sorted(set(lengths.tolist()) - {0}):
        chosen = lengths == length
        ids = tensors["input_ids"][chosen][tensors["attention_mask"][chosen].bool()].reshape(-1, length)
        batches += [{"input_ids": part, "attention_mask": torch.ones_like(part)} for part in ids.split(BATCH)]
    return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
