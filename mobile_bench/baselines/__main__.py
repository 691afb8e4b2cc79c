"""`python -m mobile_bench.baselines --out runs/bench`: what `make bench` runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mobile_bench.baselines.run import SUMMARY_FILE, run
from mobile_bench.baselines.summary import Summary
from mobile_bench.baselines.workload import find_shape
from odllm_artifact import OdllmError

_MIB = 2**20


def main(
    out: Annotated[Path, typer.Option(help="Folder for models, bundles and summary.json.")] = Path("runs/bench"),
    shape: Annotated[str, typer.Option(help="Model shape: smollm2-135m or tiny.")] = "smollm2-135m",
    rounds: Annotated[int, typer.Option(help="How often every row answers, in turn.")] = 9,
    histories: Annotated[int, typer.Option(help="Different histories to ask about.")] = 5,
) -> None:
    """Time transformers, our torch search and our graphs side by side, one thread each."""
    chosen = find_shape(shape)
    out.mkdir(parents=True, exist_ok=True)
    summary = run(chosen, out, rounds=rounds, histories=histories, progress=ProgressLines())
    console = Console()
    # A pipe is as wide as it likes; the default of 80 columns would cut the names of the rows.
    print_summary(summary, console if console.is_terminal else Console(width=120))
    print(f"written to {out / SUMMARY_FILE}")


class ProgressLines:
    """Progress for a run of minutes: a line a step, with how long it has been and how long it may still take."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """Print one line on standard error."""
        elapsed = time.monotonic() - self.started
        left = f", about {elapsed * (total - done) / done:.0f} s left" if 0 < done < total else ""
        print(f"{100 * done / total:3.0f} % after {elapsed:.0f} s{left}: {note}", file=sys.stderr)


def print_summary(summary: Summary, console: Console) -> None:
    """Print rows, ratios and exports as tables."""
    title = f"{summary.shape.name}, prompt {summary.prompt_tokens} tokens, 1 thread, {summary.machine.cpu_model}"
    rows = Table(title=title, title_justify="left")
    for column in ("row", "CPU ms", "wall ms", "peak MiB", "identical lists", "overlap"):
        rows.add_column(column, justify="left" if column == "row" else "right")
    for row in summary.rows:
        lists = f"{row.identical_lists} of {row.histories}"
        times = (f"{row.cpu_ms_p50:.0f}", f"{row.wall_ms_p50:.0f}", f"{row.peak_memory_bytes / _MIB:.0f}")
        rows.add_row(row.name, *times, *((lists, f"{row.mean_overlap:.0%}") if row.reference else ("", "")))
    console.print(rows)
    for name, ratio in summary.ratio_intervals.items():
        line = f"{name}: {ratio.cpu:.2f} ({ratio.cpu_low:.2f} to {ratio.cpu_high:.2f}) of CPU time"
        console.print(line, highlight=False)
    for name, share in summary.sgemm_shares.items():
        console.print(f"{name}: {share:.0%} of the machine's sgemm rate", highlight=False)
    console.print(f"time over operations, long prompt over usual: {summary.long_prompt_growth:.2f}", highlight=False)
    for name, export in summary.exports.items():
        share = export.peak_memory_bytes / export.model_bytes
        took = f"{export.seconds:.1f} s ({export.cpu_seconds:.1f} s of CPU)"
        line = f"export of {name}: {took}, peak {share:.2f} × the model's bytes"
        console.print(line, highlight=False)


if __name__ == "__main__":
    try:
        typer.run(main)
    except OdllmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; finished models and bundles are kept", file=sys.stderr)
        sys.exit(130)
