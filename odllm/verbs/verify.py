"""`odllm verify`: is the bundle what was trained?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, progress_bar, say
from odllm.options import Json, Seed, Threads


def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    model: Annotated[Path | None, typer.Option(help="Model folder that the bundle was exported from.")] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Ask the bundle its own golden lists; needs no model.")
    ] = False,
    dataset: Annotated[
        Path | None, typer.Option(help="Take users' histories from this dataset; random ones otherwise.")
    ] = None,
    histories: Annotated[int, typer.Option(min=1, help="How many histories to compare.")] = 200,
    min_overlap: Annotated[
        float, typer.Option(min=0, max=1, help="What a rounded bundle's lists must share with the model's.")
    ] = 0.6,
    seed: Seed = 0,
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Compare ranked lists and scores with the torch model; exit code 3 on any difference beyond ties."""
    from odllm_export.engine import Options
    from odllm_export.runtime import Recommender

    if self_test == (model is not None):
        raise typer.BadParameter("say either --model MODEL or --self-test", param_hint="'--model' / '--self-test'")
    recommender = Recommender.open(bundle, Options(threads=threads))
    if model is None:
        from odllm_export.golden_check import self_test as run_self_test

        lists = run_self_test(recommender, bundle)
        if json:
            print_json({"golden_lists": lists})
        else:
            say(f"all {lists} golden lists came back")
        return
    import msgspec

    from lcrec.dataset import load_dataset
    from odllm.torch_setup import set_up_torch
    from odllm_export.verify import dataset_cases, random_cases, require_verified, verify_bundle

    set_up_torch(threads)
    cases = (
        random_cases(recommender, histories, seed=seed)
        if dataset is None
        else dataset_cases(recommender, load_dataset(dataset), histories, seed=seed)
    )
    with progress_bar("verifying") as progress:
        found = verify_bundle(recommender, model, cases, progress=progress)
    if json:
        print_json(msgspec.to_builtins(found))
    else:
        say(
            f"{found.identical_lists} of {found.histories} lists identical, {found.ties} differ only among equal "
            f"scores; largest score difference {found.max_score_difference:.1e}"
        )
        if found.first_difference is not None:
            say(
                f"{found.precision}: the first items overlap by {found.mean_overlap:.1%}, "
                f"the best one is the same for {found.same_first_item:.1%}"
            )
    require_verified(found, min_overlap=min_overlap)
