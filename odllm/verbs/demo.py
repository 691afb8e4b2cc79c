"""`odllm demo`: the whole pipeline on MovieLens, with a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odllm.console import out as console
from odllm.console import print_json, print_table
from odllm.options import Json, Seed, Threads

if TYPE_CHECKING:
    from odllm.demo_folder import DemoFolder


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path("runs/demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Toy settings: every stage runs, nothing is good.")] = False,
    seed: Seed = 0,
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """MovieLens → codes → train → compress to half → export → verify → benchmark → report.

    Finished stages are kept: a second run goes on where the first one was stopped, and a finished one is done in
    seconds.
    """
    import msgspec

    from odllm.demo import Demo
    from odllm.demo_folder import QUICK, DemoSettings
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    chain = Demo(out, msgspec.structs.replace(QUICK if quick else DemoSettings(), seed=seed))
    result = chain.run()
    if json:
        print_json(result)
    else:
        _print(chain, result)


def _print(chain: DemoFolder, result: dict[str, Any]) -> None:
    from odllm.demo_report import worked_example

    variants = [result[key] for key in ("dense", "training_free", "compressed")]
    rows = [
        _row("parameters", [one["parameters"] for one in variants], ",.0f"),
        _row("MiB on disk", [one["bundle_bytes"] / 2**20 for one in variants], ".2f"),
        _row("HR@10", [one["hit_rate@10"] for one in variants], ".4f"),
        _row("NDCG@10", [one["ndcg@10"] for one in variants], ".4f"),
        _row("time to top-k p50, ms", [one["time_to_top_k_ms"]["p50"] for one in variants], ".2f"),
        _row("time to top-k p90, ms", [one["time_to_top_k_ms"]["p90"] for one in variants], ".2f"),
        _row("peak memory, MiB", [one["peak_memory_bytes"] / 2**20 for one in variants], ".0f"),
    ]
    print_table("", ["", "dense", "training-free", "compressed", "ratio"], rows)
    popular, last = (result["baselines"][name]["ndcg@10"] for name in ("popularity", "last item"))
    checked = result["verify"]
    example = worked_example(chain)
    lines = [
        "ratio: compressed ÷ dense. "
        f"Without a model, NDCG@10: popular films {popular:.4f}, what followed the last film {last:.4f}.",
        f"{checked['identical_lists']} of {checked['histories']} lists of the compressed bundle are the model's own.",
        f"After {', '.join(example.history)}",
        f"→ {', '.join(example.lists[-1].titles[:5])} (what came next: {example.actual_next})",
        f"{result['seconds']:.0f} s in all. Report: {chain.report}",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _row(name: str, values: list[float], form: str) -> list[str]:
    ratio = f"{values[-1] / values[0]:.2f}" if values[0] else "–"
    return [name, *(format(value, form) for value in values), ratio]
