"""`odllm study …`: what a setting does to quality, as study.json, table.md and plot.png."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odllm.console import out as console
from odllm.console import progress_bar, say
from odllm.options import Threads

if TYPE_CHECKING:
    from odllm.studies.study import Study

app = typer.Typer(no_args_is_help=True)

Model = Annotated[Path, typer.Argument(help="Dense model folder, as `odllm train` writes it.")]
DatasetFolder = Annotated[Path, typer.Option("--dataset", help="Dataset folder with item codes.")]
Out = Annotated[Path, typer.Option(help="Folder of the study. Finished cells in it are not computed again.")]
Users = Annotated[int, typer.Option(min=0, help="Users who are asked, the same for every cell; 0 for all.")]
UserSeed = Annotated[int, typer.Option(min=0, help="Seed of their choice.")]
Seeds = Annotated[str, typer.Option(help="Seeds of calibration and recovery, such as 0,1,2; intervals cover them.")]
Cells = Annotated[
    Path | None, typer.Option(help="Folder of finished cells that several studies share; OUT/cells if not given.")
]
Sequences = Annotated[int, typer.Option(min=1, help="Calibration sequences.")]
KeepRatio = Annotated[float, typer.Option(help="Kept fraction of the factored matrices.")]


@app.command()
def ratio(
    model: Model,
    dataset: DatasetFolder,
    out: Out,
    presets: Annotated[str, typer.Option(help="Recipes, a line each: default,plain-svd,svd-llm,paper, …")] = "default",
    ratios: Annotated[str, typer.Option(help="Keep ratios.")] = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9",
    recover: Annotated[
        float, typer.Option(min=0, help="Seconds of distillation: a second line of every recipe; 0 for none.")
    ] = 0.0,
    sequences: Sequences = 1024,
    users: Users = 5000,
    user_seed: UserSeed = 0,
    seeds: Seeds = "0",
    cells: Cells = None,
    threads: Threads = 1,
) -> None:
    """Quality over the keep ratio, for one or several recipes."""
    from odllm.studies.ratio import ratio_study

    study = ratio_study(_names(presets), _numbers(ratios), sequences=sequences, recover_s=recover, seeds=_whole(seeds))
    _run(study, model, dataset, out, users=users, user_seed=user_seed, cells=cells, threads=threads)


@app.command()
def calibration(
    model: Model,
    dataset: DatasetFolder,
    out: Out,
    presets: Annotated[str, typer.Option(help="Recipes, a line each.")] = "default,whitened",
    counts: Annotated[str, typer.Option(help="Numbers of calibration sequences.")] = "64,128,256,512,1024,4096",
    keep_ratio: KeepRatio = 0.5,
    users: Users = 5000,
    user_seed: UserSeed = 0,
    seeds: Seeds = "0,1,2",
    cells: Cells = None,
    threads: Threads = 1,
) -> None:
    """Quality over the number of calibration sequences; the seeds vary which ones."""
    from odllm.studies.calibration import calibration_study

    study = calibration_study(_names(presets), _whole(counts), keep_ratio=keep_ratio, seeds=_whole(seeds))
    _run(study, model, dataset, out, users=users, user_seed=user_seed, cells=cells, threads=threads)


@app.command()
def ablation(
    model: Model,
    dataset: DatasetFolder,
    out: Out,
    keep_ratio: KeepRatio = 0.5,
    sequences: Sequences = 1024,
    users: Users = 5000,
    user_seed: UserSeed = 0,
    seeds: Seeds = "0",
    cells: Cells = None,
    threads: Threads = 1,
) -> None:
    """The 2×2 of normalization and alignment, other recipes beside it."""
    from odllm.studies.ablation import ablation_study

    study = ablation_study(keep_ratio=keep_ratio, sequences=sequences, seeds=_whole(seeds))
    _run(study, model, dataset, out, users=users, user_seed=user_seed, cells=cells, threads=threads)


@app.command()
def precision(
    model: Model,
    dataset: DatasetFolder,
    out: Out,
    precisions: Annotated[
        str, typer.Option(help="Precisions beside fp32: those of `odllm export`, and int3-block32, 64, 128.")
    ] = "int8-block32,int4-block32,int4-block128,int3-block32",
    ratios: Annotated[str, typer.Option(help="Keep ratios beside the dense model.")] = "0.5",
    preset: Annotated[str, typer.Option(help="Recipe.")] = "default",
    recover: Annotated[float, typer.Option(min=0, help="Seconds of distillation: further lines; 0 for none.")] = 0.0,
    bundles: Annotated[
        str, typer.Option(help="Precisions whose exported bundles are asked too, to check the rounding in torch.")
    ] = "",
    time: Annotated[
        bool, typer.Option("--time", help="Time dense int4 and keep-0.5 int8 bundles side by side on this machine.")
    ] = False,
    sequences: Sequences = 1024,
    users: Users = 5000,
    user_seed: UserSeed = 0,
    seeds: Seeds = "0",
    cells: Cells = None,
    threads: Threads = 1,
) -> None:
    """Fewer ranks, fewer bits, or both: quality against bytes."""
    from compression.config import preset as named_preset
    from odllm.studies.bundles import SOURCE, bundle_answer, time_bundles
    from odllm.studies.cells import DENSE, Recipe
    from odllm.studies.precision import precision_study
    from odllm.studies.protocol import Protocol
    from odllm.studies.running import Bench, model_hash

    study = precision_study(
        _names(precisions),
        _numbers(ratios),
        name=preset,
        sequences=sequences,
        recover_s=recover,
        seeds=_whole(seeds),
        bundles=_names(bundles) if bundles else (),
    )
    protocol = Protocol(users=users, user_seed=user_seed)
    answers = {SOURCE: (f"{SOURCE}+{model_hash(model)}", bundle_answer(model, threads))}
    bench = Bench({DENSE: model}, dataset, protocol, cells or out / "cells", answers)
    _start(study, bench, out, threads)
    if time:
        half = Recipe(config=named_preset(preset, keep_ratio=0.5), sequences=sequences, precision="int8-block32")
        pair = [("keep-0.5-int8", half), ("dense-int4", Recipe(precision="int4-block32"))]
        with progress_bar("timing") as progress:
            console.print(time_bundles(bench, pair, out, threads=threads, progress=progress), markup=False)


@app.command()
def streaming(
    model: Model,
    dataset: DatasetFolder,
    out: Out,
    preset: Annotated[str, typer.Option(help="Recipe.")] = "default",
    shares: Annotated[str, typer.Option(help="First parts of the training interactions that calibrate.")] = (
        "0.25,0.5,1"
    ),
    steps: Annotated[int, typer.Option(min=1, help="How many of every user's last items are asked for.")] = 4,
    keep_ratio: KeepRatio = 0.5,
    sequences: Sequences = 1024,
    users: Users = 5000,
    user_seed: UserSeed = 0,
    seeds: Seeds = "0",
    cells: Cells = None,
    threads: Threads = 1,
) -> None:
    """Histories grow after the compression: does quality hold without calibrating again?"""
    from odllm.studies.streaming import least_interactions, streaming_study

    study = streaming_study(
        preset,
        keep_ratio=keep_ratio,
        sequences=sequences,
        shares=_numbers(shares),
        steps=steps,
        seeds=_whole(seeds),
    )
    least = least_interactions(_numbers(shares), steps)
    _run(study, model, dataset, out, users=users, user_seed=user_seed, cells=cells, threads=threads, least=least)


@app.command()
def compare(
    dense: Annotated[Path, typer.Option(help="Dense model folder that the others are held against.")],
    models: Annotated[
        str, typer.Option(help="name=folder, … of models or bundles; folder@precision rounds a model's weights.")
    ],
    dataset: DatasetFolder,
    out: Out,
    users: Users = 5000,
    user_seed: UserSeed = 0,
    cells: Cells = None,
    threads: Threads = 1,
) -> None:
    """Any models side by side, with their sizes: baselines, recovered models, bundles."""
    from odllm.studies.compare import compare_study, model_sources, other_answers, parse_rivals
    from odllm.studies.protocol import Protocol
    from odllm.studies.running import Bench

    rivals = parse_rivals(models)
    protocol = Protocol(users=users, user_seed=user_seed)
    sources, answers = model_sources(dense, rivals), other_answers(rivals)
    _start(compare_study(rivals), Bench(sources, dataset, protocol, cells or out / "cells", answers), out, threads)


def _run(
    study: Study,
    model: Path,
    dataset: Path,
    out: Path,
    *,
    users: int,
    user_seed: int,
    cells: Path | None,
    threads: int,
    least: int = 3,
) -> None:
    from odllm.studies.cells import DENSE
    from odllm.studies.protocol import Protocol
    from odllm.studies.running import Bench

    protocol = Protocol(users=users, user_seed=user_seed, least_interactions=least)
    _start(study, Bench({DENSE: model}, dataset, protocol, cells or out / "cells"), out, threads)


def _start(study: Study, bench: object, out: Path, threads: int) -> None:
    from odllm.studies.study import PLOT, STUDY, TABLE, run_study
    from odllm.torch_setup import set_up_torch

    set_up_torch(threads)
    with progress_bar(f"study {study.name}") as progress:
        run_study(study, bench, out, command=command_line(sys.argv[1:]), progress=progress)  # type: ignore[arg-type]
    console.print((out / TABLE).read_text(encoding="utf-8"), highlight=False, markup=False, soft_wrap=True)
    say(f"written to {out}: {STUDY}, {TABLE}, {PLOT}")


def command_line(arguments: list[str]) -> str:
    """Return the program's call as a line for a table; of an absolute path only the name is told."""
    return shlex.join(["odllm", *map(_told, arguments)])


def _told(argument: str) -> str:
    parts = []
    for part in argument.split(","):
        name, equals, value = part.rpartition("=")
        parts.append(f"{name}{equals}{Path(value).name if value.startswith('/') else value}")
    return ",".join(parts)


def _names(text: str) -> list[str]:
    """Read a comma list of names.

    Raises:
        typer.BadParameter: it is empty.
    """
    names = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not names:
        raise typer.BadParameter("an empty list was given; at least one entry is needed")
    return list(dict.fromkeys(names))


def _numbers(text: str) -> list[float]:
    """Read a comma list of numbers.

    Raises:
        typer.BadParameter: an entry is no number.
    """
    try:
        return [float(entry) for entry in _names(text)]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list of numbers, such as 0.3,0.5") from error


def _whole(text: str) -> list[int]:
    """Read a comma list of whole numbers.

    Raises:
        typer.BadParameter: an entry is not a whole number from 0.
    """
    names = _names(text)
    if not all(name.isdecimal() for name in names):
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers, such as 0,1,2")
    return [int(name) for name in names]
