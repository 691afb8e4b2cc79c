"""`odllm compress`: a dense recommender becomes a low-rank one of half the size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Overwrite, Seed, Threads

_DECIDED_BY_A_PLAN = ("keep_ratio", "budget", "allocation", "rank_multiple", "rank_floor", "costs")


def compress(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model folder, as `odllm train` writes it.")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder with item codes; its training users calibrate.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the compressed model; needed but for --dry-run.")] = None,
    keep_ratio: Annotated[float, typer.Option(help="Kept fraction of the factored matrices; 0.5 halves them.")] = 0.5,
    sequences: Annotated[int | None, typer.Option(help="Calibration sequences.  [default: 1024]")] = None,
    calibration_tokens: Annotated[int | None, typer.Option(help="About so many calibration tokens instead.")] = None,
    calibration: Annotated[str, typer.Option(help="Which sequences: covering or random.")] = "covering",
    recover: Annotated[float, typer.Option(help="Seconds of distillation afterwards; 0 for none.", min=0)] = 0.0,
    recovery_method: Annotated[str, typer.Option(help="What learns in it: factors or lora.")] = "factors",
    preset: Annotated[
        str, typer.Option(help="Recipe: default, paper, svd-llm, …: docs/compression.md lists them.")
    ] = "default",
    budget: Annotated[
        str, typer.Option(help="What --keep-ratio is a fraction of: parameters, bytes, or latency as exported.")
    ] = "parameters",
    precision: Annotated[
        str, typer.Option(help="How `odllm export` will store the weights, for --budget bytes or latency and sizes.")
    ] = "fp32",
    allocation: Annotated[
        str | None,
        typer.Option(
            help="Where the budget goes, instead of the preset's: uniform, energy (spectra), sensitivity (probes), "
            "importance (gradients)."
        ),
    ] = None,
    rank_multiple: Annotated[int, typer.Option(min=1, help="Ranks are multiples of this: 8, 16, 32 …")] = 1,
    rank_floor: Annotated[int, typer.Option(min=1, help="No rank below this.")] = 1,
    plan: Annotated[Path | None, typer.Option(help="Plan file that decides the ranks instead of all that.")] = None,
    write_plan: Annotated[Path | None, typer.Option(help="Write the plan to this file, to be edited.")] = None,
    costs: Annotated[
        Path | None, typer.Option(help="File of measured times for --budget latency: read, or measured and written.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print ranks, size, memory and time; compress nothing.")
    ] = False,
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Compress a recommender to a fraction of its size.

    The training-free result comes first; --recover SECONDS distils the factors from the dense model afterwards
    and is reported apart. A run that is stopped goes on at the block it had reached. --dry-run looks at no weight,
    unless --allocation has to measure them.
    """
    from compression.config import preset as named_preset
    from compression.plan_file import write_plan as save_plan
    from lcrec.calibration import DEFAULT_SEQUENCES, CalibrationRequest
    from odllm.calibrating import Calibrated
    from odllm.compressing import compress_folder, recovery_options
    from odllm.compression_report import print_plan, print_report
    from odllm.plan_report import describe_plan
    from odllm.planning import PlanRequest, find_plan
    from odllm.torch_setup import set_up_torch
    from odllm_artifact import resolve_output

    _check_options(context, out, plan, dry_run=dry_run)
    set_up_torch(threads)
    changes = {} if allocation is None else {"allocation": allocation}
    config = named_preset(  # refuses a bad ratio before anything is read
        preset, keep_ratio=keep_ratio, rank_multiple=rank_multiple, rank_floor=rank_floor, **changes
    )
    request = PlanRequest(budget, precision, plan, costs)  # type: ignore[arg-type]
    recovery = recovery_options(recover, recovery_method, seed) if recover > 0 else None  # type: ignore[arg-type]
    if sequences is None and calibration_tokens is None:
        sequences = DEFAULT_SEQUENCES
    chosen = CalibrationRequest(sequences=sequences, tokens=calibration_tokens, choice=calibration)  # type: ignore[arg-type]
    calibrated = Calibrated(model, dataset, chosen, seed)
    if out is not None and not dry_run:
        resolve_output(out, overwrite=overwrite)
    file = find_plan(calibrated, config, request, progress_bar, work=None if dry_run else out)
    if write_plan is not None:
        save_plan(file, write_plan)
        say(f"plan written to {write_plan}")
    if dry_run or out is None:
        record = describe_plan(file, calibrated, config, precision=precision, threads=threads)
        print_json(record) if json else print_plan(record)
        return
    report = compress_folder(
        calibrated, out, config=config, plan=file, recovery=recovery, overwrite=overwrite, progress=progress_bar
    )
    if not report:  # one of several processes, and not the one that writes
        return
    if json:
        print_json(report)
    else:
        print_report(report)
        say(f"model written to {out}")


def _check_options(context: typer.Context, out: Path | None, plan: Path | None, *, dry_run: bool) -> None:
    """Refuse options that contradict each other, as usage errors."""
    if out is None and not dry_run:
        raise typer.BadParameter("--out is missing; only --dry-run goes without.")
    said = [name for name in _DECIDED_BY_A_PLAN if _was_said(context, name)]
    if plan is not None and said:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in said)
        raise typer.BadParameter(f"--plan decides the ranks: leave out {options}, or the plan.")


def _was_said(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
