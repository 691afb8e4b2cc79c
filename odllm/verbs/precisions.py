"""`odllm precisions`: what a model's weights lose in fewer bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odllm.console import out as console
from odllm.console import print_json, print_table, progress_bar, say
from odllm.options import Json, Seed, Threads

if TYPE_CHECKING:
    from odllm.precisions import PrecisionRow


def precisions(
    model: Annotated[Path, typer.Argument(help="Model folder (`odllm train` or `odllm compress`).")],
    dataset: Annotated[Path, typer.Option(help="Dataset folder with item codes; its users are asked.")],
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="What to compare; say it once a precision. fp32 is always there. If not given: fp16, int8-dynamic, "
            "int8-block32, int4-block32, int4-block128; of form steps fp16, int8-qdq, int8-qdq16."
        ),
    ] = None,
    form: Annotated[str, typer.Option(help="loop, unrolled or steps, as for `odllm export`.")] = "loop",
    users: Annotated[
        int, typer.Option(min=1, help="Users, at most, whose last item is asked for (HR, NDCG), drawn by seed 0.")
    ] = 1000,
    histories: Annotated[int, typer.Option(min=1, help="Histories whose lists are compared with the model's.")] = 300,
    out: Annotated[Path | None, typer.Option(help="Write the result to this file, as JSON.")] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Export a model at several precisions, and measure what each keeps: lists, HR, NDCG, size.

    The bundles are temporary. A change of NDCG from fp32 that may be chance is marked ≈: its 95 % interval, user by
    user, holds zero.
    """
    from lcrec.dataset import load_dataset
    from lcrec.dataset_match import check_codes
    from odllm.precisions import compare_precisions, comparison_record
    from odllm.torch_setup import set_up_torch
    from odllm_artifact import resolve_output_file, write_json
    from odllm_export.export import ExportOptions

    if out is not None:
        resolve_output_file(out)
    set_up_torch(threads)
    data = load_dataset(dataset)
    check_codes(model, data, dataset)
    with progress_bar("comparing precisions") as progress:
        rows = compare_precisions(
            model,
            data,
            precision or (),
            histories=histories,
            users=users,
            options=ExportOptions(form=form),  # type: ignore[arg-type]
            seed=seed,
            threads=threads,
            progress=progress,
        )
    record = comparison_record(rows)
    if json:
        print_json(record)
    else:
        _print(model, rows)
    if out is not None:
        write_json(out, record)
        say(f"written to {out}")


def _print(model: Path, rows: Sequence[PrecisionRow]) -> None:
    from odllm_export.precision import DEVICE_PROFILES

    first = rows[0]
    print_table(
        f"{model.name}: {first.histories} lists of {first.top_k}, and the last items of {first.users} users",
        ["", "weight\nMiB", "bundle\nMiB", "overlap", "same\nfirst", "HR@10", "NDCG@10", "ratio"],
        [_cells(row) for row in rows],
    )
    low, high = first.ndcg_10_interval
    lines = [
        "overlap: share of the model's own list; same first: share of the lists that begin as the model's; "
        f"ratio: NDCG@10 ÷ that of {first.precision}.",
        f"{first.precision}: NDCG@10 between {low:.4f} and {high:.4f} (95 % over users).",
        *(["≈: over these users the change from fp32 may be chance."] if any(map(_may_be_chance, rows)) else []),
        "--precision auto (forms loop and unrolled) takes:",
        *(f"  {name}: {profile.precision}. {profile.reason}" for name, profile in DEVICE_PROFILES.items()),
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _cells(row: PrecisionRow) -> list[str]:
    ratio = "–" if row.ndcg_10_ratio is None else f"{row.ndcg_10_ratio:.2f}"
    return [
        row.precision,
        f"{row.weight_bytes / 2**20:.2f}",
        f"{row.bundle_bytes / 2**20:.2f}",
        f"{row.mean_overlap:.3f}",
        f"{row.same_first_item:.3f}",
        f"{row.hit_rate_10:.4f}",
        f"{row.ndcg_10:.4f}",
        f"≈{ratio}" if _may_be_chance(row) else ratio,
    ]


def _may_be_chance(row: PrecisionRow) -> bool:
    low, high = row.ndcg_10_change_interval
    return low <= 0 <= high and low < high
