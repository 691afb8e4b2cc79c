"""`odllm compare`: records side by side, with a verdict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from odllm.console import out
from odllm.verbs.bench import print_times


def compare(
    files: Annotated[list[Path], typer.Argument(help="One or two files that `odllm bench --out` wrote.")],
    output: Annotated[str, typer.Option("--format", help="table, md, csv, json or jsonl.")] = "table",
    clock: Annotated[str, typer.Option(help="wall: elapsed time; cpu: processor time.")] = "wall",
) -> None:
    """Compare records: the cells of one file with its first, or those of the first file with the second's.

    Cells of one run are compared round by round, those of different runs history by history. The verdict is equal
    (within 5 %), faster, slower, or unclear where the interval does not say.
    """
    from mobile_bench.compare import table_rows
    from mobile_bench.printers import PRINTERS, sentence
    from mobile_bench.results import read_results
    from mobile_bench.verdict import compare_results, compare_with_first

    if len(files) > 2:
        raise typer.BadParameter(f"{len(files)} files were given; one or two can be compared")
    if clock not in ("wall", "cpu"):
        raise typer.BadParameter(f"--clock is {clock!r}; expected wall or cpu")
    if output != "table" and output not in PRINTERS:
        raise typer.BadParameter(f"--format is {output!r}; expected one of table, {', '.join(PRINTERS)}")
    results = [read_results(path) for path in files]
    which = cast(Literal["wall", "cpu"], clock)
    if len(results) == 1:
        comparisons = compare_with_first(results[0], which)
    else:
        comparisons = compare_results(results[0], results[1], which)
    rows = table_rows([record for one in results for record in one.records])
    if output != "table":
        sys.stdout.write(PRINTERS[output](rows, comparisons))
        return
    print_times("Time to top-k", rows)
    for one in comparisons:
        out.print(sentence(one), highlight=False, soft_wrap=True, markup=False)
