"""`python -m mobile_bench.baselines --out runs/bench`: what `make bench` runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mobile_bench.baselines.run import SUMMARY_FILE, run
from mobile_bench.baselines.tables import print_summary
from mobile_bench.baselines.workload import find_shape
from odllm_artifact import OdllmError


def main(
    out: Annotated[Path, typer.Option(help="Folder for models, bundles and summary.json.")] = Path("runs/bench"),
    shape: Annotated[str, typer.Option(help="Model shape: smollm2-135m or tiny.")] = "smollm2-135m",
    rounds: Annotated[int, typer.Option(help="How often every row answers, in turn.")] = 9,
    histories: Annotated[int, typer.Option(help="Different histories to ask about.")] = 5,
) -> None:
    """Time transformers, optimum, llama.cpp, our torch search and our graphs side by side, one thread each.

    Rows of a stack whose environment is missing are left out; `make interop` and `make llama-cpp` make those.
    """
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


if __name__ == "__main__":
    try:
        typer.run(main)
    except OdllmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; finished models and bundles are kept", file=sys.stderr)
        sys.exit(130)
