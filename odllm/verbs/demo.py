"""`odllm demo`: the whole pipeline on MovieLens, with a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odllm.console import out as console
from odllm.console import print_json, print_table
from odllm.options import Json, Threads

if TYPE_CHECKING:
    from odllm.demo import Demo


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path("runs/demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Toy settings: every stage runs, nothing is good.")] = False,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """MovieLens → codes → train → compress to half → export → verify → benchmark → report.

    Finished stages are kept: a second run goes on where the first one was stopped, and a finished one is done in
    seconds.
    """
    from odllm.demo import QUICK, Demo, DemoSettings
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    chain = Demo(out, QUICK if quick else DemoSettings())
    result = chain.run()
    if json:
        print_json(result)
    else:
        _print(chain, result)


def _print(chain: Demo, result: dict[str, Any]) -> None:
    from odllm.demo_report import worked_example

    dense, small = result["dense"], result["compressed"]
    rows = [
        ("parameters", [f"{one['parameters']:,}" for one in (dense, small)], "parameters"),
        ("MiB on disk", [f"{one['bundle_bytes'] / 2**20:.2f}" for one in (dense, small)], "bundle_bytes"),
        ("HR@10", [f"{one['hit_rate@10']:.4f}" for one in (dense, small)], "hit_rate@10"),
        ("NDCG@10", [f"{one['ndcg@10']:.4f}" for one in (dense, small)], "ndcg@10"),
        (
            "peak memory, MiB",
            [f"{one['peak_memory_bytes'] / 2**20:.0f}" for one in (dense, small)],
            "peak_memory_bytes",
        ),
    ]
    table = [[name, *cells, f"{small[key] / dense[key]:.2f}" if dense[key] else "–"] for name, cells, key in rows]
    for part in ("p50", "p90"):
        times = [one["time_to_top_k_ms"][part] for one in (dense, small)]
        table.append([f"time to top-k {part}, ms", *(f"{t:.2f}" for t in times), f"{times[1] / times[0]:.2f}"])
    print_table("", ["", "dense", "compressed", "ratio"], table)
    free, popular = result["training_free"], result["baselines"]["popularity"]
    checked = result["verify"]
    example = worked_example(chain)
    lines = [
        f"NDCG@10 before recovery {free['ndcg@10']:.4f}, popularity {popular['ndcg@10']:.4f}; "
        f"{checked['identical_lists']} of {checked['histories']} lists identical to the model's.",
        f"After {', '.join(example.history)}",
        f"→ {', '.join(example.lists[-1].titles[:5])} (what came next: {example.actual_next})",
        f"{result['seconds']:.0f} s in all. Report: {chain.report}",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
