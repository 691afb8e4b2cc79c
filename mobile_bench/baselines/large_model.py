"""What an export takes at the size of a large model: a random factored LLaMA, written layer by layer, then exported.

    python -m mobile_bench.baselines.large_model build --out runs/7b
    python -m mobile_bench.baselines.large_model export runs/7b/model --dataset runs/7b/dataset --out runs/7b/bundle

`build` writes a recommender and a small random dataset; the default shape is LLaMA-7B's at keep ratio 0.5, of which
one layer is in memory at a time. `export` runs the program's own export in a process of its own and prints seconds,
bytes and peak memory as JSON.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
import typer

from compression.allocation import uniform_rank
from compression.checkpoint import INDEX_FILE, RANKS_FILE, RANKS_SCHEMA_VERSION, write_tensors
from lcrec.dataset import save_dataset
from lcrec.prompt import PromptText, RecommenderCard, write_card
from mobile_bench.baselines.workload import Shape, make_dataset, make_prompt
from mobile_bench.errors import WorkerError
from mobile_bench.memory import resident_memory_of
from mobile_bench.worker_process import ONE_THREAD
from odllm_artifact import write_folder, write_json
from odllm_export.bundle import GOLDEN, bundle_bytes, read_manifest
from odllm_export.families.decoder import Decoder
from odllm_export.families.registry import read_decoder

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}

app = typer.Typer(help="Build a large random recommender and measure its export.", add_completion=False)


def large_shape(
    hidden: int, layers: int, heads: int, kv_heads: int, intermediate: int, words: int, history: int = 20
) -> Shape:
    """Return a model's shape with the catalogue and prompt of the smaller benchmark."""
    return Shape(
        name=f"llama-{hidden}x{layers}",
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        intermediate=intermediate,
        words=words,
        weight_std=0.02,
        code_sizes=(256, 256, 256, 256),
        items=2000,
        prefix=16,
        history=history,
        long_history=92,
        suffix=5,
        num_beams=20,
        top_k=10,
    )


def write_large_model(shape: Shape, keep_ratio: float, folder: Path, *, dtype: torch.dtype, seed: int = 0) -> None:
    """Write a random model, a shard a layer, embedding and head apart; `folder` must not exist yet.

    Its projections are factored, dense at keep ratio 1; A·B has the variance of the random dense matrix it stands for.
    """
    torch.manual_seed(seed)
    with write_folder(folder) as staging:
        _write_config(shape, staging, str(dtype).removeprefix("torch."))
        shards = _Shards(staging, dtype)
        width = (shape.vocabulary, shape.hidden)
        shards.add({"model.embed_tokens.weight": torch.randn(width) * shape.weight_std})
        ranks: dict[str, int] = {}
        for layer in range(shape.layers):
            shards.add(_layer(shape, read_decoder(staging), f"model.layers.{layer}", keep_ratio, ranks))
        head = torch.randn(width) * shape.weight_std
        shards.add({"model.norm.weight": torch.ones(shape.hidden), "lm_head.weight": head})
        shards.write_index()
        if ranks:
            write_json(staging / RANKS_FILE, {"schema_version": RANKS_SCHEMA_VERSION, "ranks": ranks})
        text = PromptText(prefix="", separator="", suffix="")
        method = {"method": "none: random weights"}
        write_card(RecommenderCard(make_prompt(shape), text, {"name": f"random-{shape.name}"}, method), staging)


def _layer(
    shape: Shape, decoder: Decoder, prefix: str, keep_ratio: float, ranks: dict[str, int]
) -> dict[str, torch.Tensor]:
    """Return the tensors of one layer, and note the ranks of its projections."""
    norms = ("input_layernorm", "post_attention_layernorm")
    tensors = {f"{prefix}.{norm}.weight": torch.ones(shape.hidden) for norm in norms}
    for projection, (rows, columns) in decoder.projections.items():
        name = f"{prefix}.{projection}"
        if keep_ratio == 1:
            tensors[f"{name}.weight"] = torch.randn(rows, columns) * shape.weight_std
            continue
        ranks[name] = rank = uniform_rank((rows, columns), keep_ratio)
        std = (shape.weight_std**2 / rank) ** 0.25
        tensors[f"{name}.input_factor.weight"] = torch.randn(rank, columns) * std
        tensors[f"{name}.output_factor.weight"] = torch.randn(rows, rank) * std
    return tensors


@dataclass
class _Shards:
    """Writes files of tensors and remembers what is in which."""

    folder: Path
    dtype: torch.dtype
    count: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        self.weight_map: dict[str, str] = {}

    def add(self, tensors: dict[str, torch.Tensor]) -> None:
        self.count += 1
        name = f"model-{self.count:05}.safetensors"
        stored = {key: value.to(self.dtype) for key, value in tensors.items()}
        write_tensors(stored, self.folder / name)
        self.weight_map |= dict.fromkeys(stored, name)
        self.bytes += sum(value.nbytes for value in stored.values())

    def write_index(self) -> None:
        index = {"metadata": {"total_size": self.bytes}, "weight_map": self.weight_map}
        write_json(self.folder / INDEX_FILE, index)


def _write_config(shape: Shape, folder: Path, dtype: str) -> None:
    from transformers import LlamaConfig

    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        dtype=dtype,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.intermediate,
        vocab_size=shape.vocabulary,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    ).save_pretrained(folder)


class LargeExport(msgspec.Struct, frozen=True):
    """What an export took.

    Attributes:
        seconds: elapsed, start of the program included.
        peak_bytes: the most that was resident at once, as the kernel kept it.
        peak_anonymous_bytes: the process's own, sampled.
        peak_file_backed_bytes: mapped files, which the kernel can drop and read again, sampled.
        model_bytes: of the checkpoint's weights.
        bundle_bytes: of all files of the bundle.
        golden: who computed the bundle's golden lists, or none.
    """

    seconds: float
    peak_bytes: int
    peak_anonymous_bytes: int
    peak_file_backed_bytes: int
    model_bytes: int
    bundle_bytes: int
    golden: str


def measure_export(model: Path, dataset: Path, out: Path, *options: str, every_s: float = 0.02) -> LargeExport:
    """Run `odllm export` and return what it took; Linux only.

    Raises:
        WorkerError: the export failed.
    """
    command = [sys.executable, "-m", "odllm", "export", str(model), "--dataset", str(dataset), "--out", str(out)]
    started, seen = time.perf_counter(), []
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}
    ) as process:
        while process.poll() is None:
            seen.append(resident_memory_of(process.pid))
            time.sleep(every_s)
        words = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise WorkerError(f"the export ended with code {process.returncode}:\n{words[-2000:]}")
    alive = [memory for memory in seen if memory is not None]
    golden: dict[str, Any] = msgspec.json.decode((out / GOLDEN).read_bytes()) if (out / GOLDEN).is_file() else {}
    return LargeExport(
        seconds=time.perf_counter() - started,
        peak_bytes=max(peak for _, peak in alive),
        peak_anonymous_bytes=max(_known(memory.anonymous) for memory, _ in alive),
        peak_file_backed_bytes=max(_known(memory.file_backed) for memory, _ in alive),
        model_bytes=sum(file.stat().st_size for file in model.glob("*.safetensors")),
        bundle_bytes=bundle_bytes(out, read_manifest(out)),
        golden=golden.get("computed_by", "none"),
    )


def _known(value: int | None) -> int:
    return value or 0


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="Folder that gets `model` and `dataset`.")],
    hidden: int = 4096,
    layers: int = 32,
    heads: int = 32,
    kv_heads: Annotated[int | None, typer.Option(help="As many as heads if not given.")] = None,
    intermediate: int = 11008,
    words: int = 32000,
    keep_ratio: float = 0.5,
    dtype: Annotated[str, typer.Option(help=f"One of {', '.join(DTYPES)}.")] = "bfloat16",
    users: Annotated[int, typer.Option(help="Of the dataset.")] = 16,
    history: Annotated[int, typer.Option(help="Items of every user, but for the last.")] = 20,
) -> None:
    """Write a random model, factored unless the keep ratio is 1, and a dataset."""
    shape = large_shape(hidden, layers, heads, kv_heads or heads, intermediate, words, history)
    write_large_model(shape, keep_ratio, out / "model", dtype=DTYPES[dtype])
    save_dataset(make_dataset(shape, users), out / "dataset")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def export(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="What `build` wrote.")],
    dataset: Annotated[Path, typer.Option(help="What `build` wrote.")],
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")],
) -> None:
    """Export, and print what it took; further options go to `odllm export`."""
    facts = measure_export(model, dataset, out, *context.args)
    print(msgspec.json.format(msgspec.json.encode(facts)).decode())


if __name__ == "__main__":
    app()
