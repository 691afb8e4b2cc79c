"""`odllm recommend`: ask a bundle."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from odllm.console import print_json, print_table, say
from odllm.options import Json, Threads


def recommend(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    history: Annotated[str, typer.Option(help="Item ids, oldest first, separated by commas: 12,7,3.")],
    top_k: Annotated[int | None, typer.Option(min=1, help="How many items; the bundle's default if not given.")] = None,
    block: Annotated[str, typer.Option(help="Item ids that must not come back, separated by commas.")] = "",
    include_seen: Annotated[bool, typer.Option(help="Let items of the history come back.")] = False,
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Return the best next items for a history; items of the history itself are left out."""
    from odllm_export.engine import Options
    from odllm_export.runtime import Recommender

    recommender = Recommender.open(bundle, Options(threads=threads))
    seen, blocked = _ids(history), _ids(block)
    started = time.perf_counter()
    found = recommender.recommend(seen, top_k=top_k, blocked={*blocked, *(() if include_seen else seen)})
    took_ms = 1000 * (time.perf_counter() - started)
    wanted = recommender.manifest.search.top_k if top_k is None else top_k
    if json:
        items = [{"item_id": one.item_id, "title": one.title, "score": one.score} for one in found]
        print_json({"history": seen, "top_k": wanted, "items": items, "time_ms": took_ms})
        return
    window = recommender.manifest.prompt.max_items
    if len(seen) > window:
        say(f"the history has {len(seen)} items; this model reads the last {window}")
    titles = {item["id"]: item["title"] for item in recommender.items}
    say("after " + ", ".join(titles[item] for item in seen[-window:]))
    rows = [[str(i), one.item_id, one.title, f"{one.score:.3f}"] for i, one in enumerate(found, start=1)]
    print_table(f"{len(found)} items in {took_ms:.1f} ms", ["", "id", "title", "score"], rows)
    if len(found) < wanted:
        say(f"{len(found)} items: no more are live; {wanted} were asked for")


def _ids(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
