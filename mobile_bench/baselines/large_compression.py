"""What a compression takes at the size of a large model: random weights, random calibration sequences, one process.

    python -m mobile_bench.baselines.large_model build --out runs/7b-dense --keep-ratio 1 --layers 2
    python -m mobile_bench.baselines.large_compression runs/7b-dense/model --out runs/7b --sequences 64

The compression runs in a process of its own; its seconds and peak memory come out as JSON, beside what
`compression.memory_model` says. Time and memory do not depend on what the weights are.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

WORKER = "--worker"


class LargeCompression(msgspec.Struct, frozen=True):
    """What a compression took.

    Attributes:
        seconds: elapsed, from the model's folder to the other.
        cpu_seconds: of all threads.
        tokens: of the calibration.
        runtime_bytes: resident before the model's folder was looked at.
        peak_bytes: the most that was resident at once, as the kernel kept it.
        activation_bytes: of that, the hidden states of the calibration sequences.
        estimated_bytes: the peak that the memory model says.
        keep_ratio: achieved.
        blocks_resumed: taken over from a run that was stopped.
    """

    seconds: float
    cpu_seconds: float
    tokens: int
    runtime_bytes: int
    peak_bytes: int
    activation_bytes: int
    estimated_bytes: int
    keep_ratio: float
    blocks_resumed: int


def measure_compression(
    model: Path, out: Path, *, preset: str, keep_ratio: float, sequences: int, tokens: int, batch: int, threads: int
) -> LargeCompression:
    """Compress in this process and return what it took; meant for a fresh one, Linux only."""
    import torch

    from compression.calibration import CalibrationBatch
    from compression.checkpoint import empty_model
    from compression.config import preset as named_preset
    from compression.memory_model import checkpoint_memory
    from compression.streaming import compress_checkpoint
    from odllm_artifact import partial_folder, write_folder

    torch.set_num_threads(threads)
    runtime = _peak_bytes()
    config = named_preset(preset, keep_ratio=keep_ratio)
    vocabulary = empty_model(model).config.vocab_size
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, vocabulary, (sequences, tokens), generator=generator)
    batches = [CalibrationBatch(part, torch.ones_like(part)) for part in ids.split(batch)]
    estimate = checkpoint_memory(model, config, positions=ids.numel(), batch_positions=batch * tokens)
    started, cpu = time.perf_counter(), time.process_time()
    with write_folder(out, overwrite=True) as folder:
        report = compress_checkpoint(
            model, folder, batches, config, work_folder=partial_folder(out) / "blocks", progress=_say
        )
    return LargeCompression(
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu,
        tokens=report.tokens,
        runtime_bytes=runtime,
        peak_bytes=_peak_bytes(),
        activation_bytes=estimate.activations,
        estimated_bytes=estimate.peak,
        keep_ratio=report.keep_ratio,
        blocks_resumed=report.blocks_resumed,
    )


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _say(done: float, total: float, note: str = "") -> None:
    print(f"{done:.2f} of {total:.0f} blocks, {_peak_bytes() / 2**30:.2f} GiB at most so far", file=sys.stderr)


def main(
    model: Annotated[Path, typer.Argument(help="Dense model folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the compressed model; replaced.")],
    preset: Annotated[str, typer.Option(help="Recipe that needs no gradients.")] = "without-gradients",
    keep_ratio: float = 0.5,
    sequences: int = 256,
    tokens: Annotated[int, typer.Option(help="Of a sequence.")] = 100,
    batch: Annotated[int, typer.Option(help="Sequences run at once.")] = 32,
    threads: int = 1,
    worker: Annotated[bool, typer.Option(WORKER, hidden=True)] = False,
) -> None:
    """Compress a model in a process of its own and print what it took."""
    if not worker:
        command = [sys.executable, "-m", "mobile_bench.baselines.large_compression", *sys.argv[1:], WORKER]
        raise SystemExit(subprocess.run(command, check=False).returncode)
    facts = measure_compression(
        model,
        out,
        preset=preset,
        keep_ratio=keep_ratio,
        sequences=sequences,
        tokens=tokens,
        batch=batch,
        threads=threads,
    )
    print(msgspec.json.format(msgspec.json.encode(facts)).decode())


if __name__ == "__main__":
    typer.run(main)
