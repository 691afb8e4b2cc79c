"""`odllm bench`: measure bundles on this machine, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odllm.console import out, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from mobile_bench.compare import Row
    from mobile_bench.record import Record
    from mobile_bench.results import Results
    from mobile_bench.soak import SoakReport

_MIB = 2**20
_CELL_FAILED = 4


def bench(
    context: typer.Context,
    bundles: Annotated[list[Path], typer.Argument(help="Bundle folders, measured side by side; or a plan.yaml.")],
    provider: Annotated[
        str, typer.Option(help="Execution providers, such as cpu,webgpu; `odllm providers list` has them.")
    ] = "cpu",
    threads: Annotated[str, typer.Option(help="Numbers of threads, such as 1,2.")] = "1",
    min_seconds: Annotated[float, typer.Option(help="Least time of timed calls a cell.")] = 3.0,
    min_calls: Annotated[int, typer.Option(help="Fewest timed calls a cell.")] = 50,
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset folder: also measure HR and NDCG of this very run on held-out items.")
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="Users of --dataset, drawn by seed 0.")] = 500,
    json_output: Annotated[bool, typer.Option("--json", help="Print records as JSON.")] = False,
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the records to this file.")] = None,
    soak: Annotated[int, typer.Option(help="Instead: make this many calls and watch the memory.")] = 0,
) -> None:
    """Measure time to top-k, load, memory, size and lists of bundles on this machine.

    Every bundle runs in fresh processes of its own, and the timed rounds of all bundles alternate. Only nodes
    that the runtime's profile shows on a provider count as run there. A cell that fails does not end the others;
    the exit code is 4 then.
    """
    providers, thread_counts = listed(provider), parse_threads(threads)
    if soak:
        _soak(bundles, providers, thread_counts, soak, json_output)
        return
    from mobile_bench.host import measure
    from mobile_bench.plan import is_plan, run_plan
    from mobile_bench.protocol import Settings
    from mobile_bench.quality import choose_users

    with progress_bar("measuring") as progress:
        if is_plan(bundles):
            results = run_plan(bundles[0], _only_the_plan(context, out_file), progress=progress)
        else:
            settings = Settings(min_seconds=min_seconds, min_calls=min_calls, max_seconds=max(120.0, min_seconds))
            held_out = None if dataset is None else choose_users(dataset, users)
            results = measure(
                bundles,
                providers=providers,
                threads=thread_counts,
                settings=settings,
                users=held_out,
                progress=progress,
            )
    report(results, out_file, json_output)


def _only_the_plan(context: typer.Context, out_file: Path | None) -> Path:
    """Return where a plan's records go.

    Raises:
        typer.BadParameter: nowhere, or an option was given that the plan decides.
    """
    decided = ("provider", "threads", "min_seconds", "min_calls", "dataset", "users")
    sources = {name: context.get_parameter_source(name) for name in decided}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise typer.BadParameter(f"a plan decides that itself: leave out {options}")
    if out_file is None:
        raise typer.BadParameter("a plan writes its records to a file: give --out FILE")
    return out_file


def report(results: Results, out_file: Path | None, json_output: bool) -> None:
    """Write and print results; the exit code says whether a cell failed."""
    from mobile_bench.results import to_builtins, write_results

    if out_file is not None:
        write_results(results, out_file)
        say(f"records written to {out_file}")
    if json_output:
        print_json(to_builtins(results))
    else:
        _print_results(results)
    if results.failures:
        raise typer.Exit(_CELL_FAILED)


def listed(text: str) -> list[str]:
    """Read a comma list of names, each once."""
    return list(dict.fromkeys(entry.strip() for entry in text.split(",")))


def parse_threads(text: str) -> list[int]:
    """Read a comma list of numbers of threads.

    Raises:
        typer.BadParameter: an entry is not a whole number of at least 1.
    """
    entries = [entry.strip() for entry in text.split(",")]
    if not all(entry.isdecimal() and int(entry) >= 1 for entry in entries):
        raise typer.BadParameter(f"--threads is {text!r}; whole numbers from 1, separated by commas, are needed")
    return list(dict.fromkeys(int(entry) for entry in entries))


def _print_results(results: Results) -> None:
    from mobile_bench.compare import table_rows
    from mobile_bench.printers import sentence
    from mobile_bench.verdict import compare_with_first

    for where, records in itertools.groupby(results.records, _place):
        rows = table_rows(list(records))
        print_times(f"Time to top-k: {where}", rows)
        print_table(
            "What ran, and what it took",
            ["bundle, provider, threads", "peak MiB", "disk MiB", "products", "items", "NDCG@10"],
            [_cells(row) for row in rows],
        )
    if results.records:
        _line("products: matrix products that ran on the provider; items: share of the golden lists' that came back")
    for record in results.records:
        if record.energy is not None:
            joules, error = record.energy.joules_per_call, record.energy.error_joules_per_call
            _line(f"  {record.label}: {1000 * joules:.2f} ± {1000 * error:.2f} mJ a call, by {record.energy.method}")
        if record.time_to_top_k is None:
            _line(f"  {record.label}: runs on {record.device.device_kind}, so its lists count and its time does not")
    for failure in results.failures:
        _line(f"✗ {failure.label}: {failure.reason}")
    for comparison in compare_with_first(results):
        _line(sentence(comparison))


def _place(record: Record) -> str:
    """Return the machine of a record, for the title of a table."""
    device = record.device
    return ", ".join(filter(None, (device.model, device.cpu_model, f"{device.cores} cores")))


def _line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)


def print_times(title: str, rows: Sequence[Row]) -> None:
    """Print the times of cells, and why those with a mark are not to be quoted."""
    times = [
        (row.wall_ms_p50, row.wall_ms_p90, row.cpu_ms_p50, row.incremental_ms_p50, row.load_cold_ms) for row in rows
    ]
    print_table(
        title,
        ["bundle, provider, threads", "p50 ms", "p90 ms", "CPU ms", "one new item", "load ms"],
        [
            [row.label + ("" if row.valid else " !"), *("–" if time is None else f"{time:.2f}" for time in cells)]
            for row, cells in zip(rows, times, strict=True)
        ],
    )
    for row in rows:
        for reason in row.reasons:
            _line(f"! {row.label}: {reason}")


def _cells(row: Row) -> list[str]:
    return [
        row.label,
        *(f"{size / _MIB:.1f}" for size in (row.peak_memory_bytes, row.bundle_bytes)),
        f"{row.products_taken}/{row.products}",
        "–" if row.overlap is None else f"{row.overlap:.1%}",
        "–" if row.ndcg_10 is None else f"{row.ndcg_10:.4f}",
    ]


def _soak(
    bundles: Sequence[Path], providers: Sequence[str], threads: Sequence[int], calls: int, json_output: bool
) -> None:
    from msgspec import to_builtins

    from mobile_bench.cell import make_cells
    from mobile_bench.soak import soak

    reports = []
    for cell in make_cells(bundles, providers, threads):
        with progress_bar(f"{calls} calls of {cell.name}") as progress:
            reports.append(soak(cell, calls, progress=progress))
    if json_output:
        print_json([to_builtins(report) for report in reports])
    else:
        header = ["bundle", "provider", "threads", "calls", "own MiB at the end", "bytes a call", "flat"]
        print_table("Memory over many calls", header, [_soak_cells(report) for report in reports])


def _soak_cells(report: SoakReport) -> list[str]:
    return [
        report.bundle,
        report.provider,
        str(report.threads),
        str(report.calls[-1]),
        f"{report.anonymous_bytes[-1] / _MIB:.2f}",
        f"{report.slope_bytes_per_call:.2f}",
        "yes" if report.flat else "NO",
    ]
