"""What `odllm evaluate` prints and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from odllm.console import print_table
from odllm.evaluation import Evaluated
from odllm_artifact import write_text

_FIGURES = {
    "HR@1": "hit_rate@1",
    "HR@5": "hit_rate@5",
    "HR@10": "hit_rate@10",
    "NDCG@5": "ndcg@5",
    "NDCG@10": "ndcg@10",
}


def print_evaluation(found: Evaluated) -> None:
    """Print every figure of every row with its interval; of several templates a second table, a row each.

    NDCG@1 is HR@1.
    """
    (name, facts), *_ = found.rows.items()
    print_table(
        f"{_title(facts)}; between: 95 % over users",
        ["", *found.rows],
        [
            *([title, *(_with_interval(row, key) for row in found.rows.values())] for title, key in _FIGURES.items()),
            ["illegal", *(f"{row['illegal_rate']:.4f}" for row in found.rows.values())],
        ],
    )
    if "templates" in facts:
        _print_templates(name, facts)


def _title(facts: dict[str, Any]) -> str:
    words = [f"{facts['split']} split", f"{facts['users']} users", facts["constraint"], facts["scoring"]]
    words.append(f"{facts['num_beams']} beams")
    if facts["template"] != 0:
        words.append("mean of all templates" if facts["template"] == "all" else f"template {facts['template']}")
    if facts.get("illegal") == "last":
        words.append("illegal last")
    return ", ".join(words if facts["seen"] else [*words, "without what was seen"])


def _with_interval(row: dict[str, Any], key: str) -> str:
    low, high = row[f"{key}_interval"]
    return f"{row[key]:.4f} {low:.4f}–{high:.4f}"


def _print_templates(name: str, facts: dict[str, Any]) -> None:
    def line(title: str, value: Any) -> list[str]:
        return [title, *(f"{value(key):.4f}" for key in (*_FIGURES.values(), "illegal_rate"))]

    rows = [line(str(one["template"]), one.__getitem__) for one in facts["templates"]]
    rows.append(line("mean", facts.__getitem__))
    rows += [line(word, lambda key, end=end: facts["spread"][key][end]) for end, word in enumerate(("min", "max"))]
    print_table(f"templates of {name} (0 is the deployed one)", ["", *_FIGURES, "illegal"], rows)


def write_ranks(found: Evaluated, path: Path) -> None:
    """Write the rank of every user's target as JSON lines: `user`, `rank` (0-based, -1 if not found), `template`."""
    lines = [
        json.dumps({"user": user, "rank": int(rank), "template": number}, ensure_ascii=False)
        for number, ranks in found.ranks.items()
        for user, rank in zip(found.users, ranks, strict=True)
    ]
    write_text(path, "\n".join(lines) + "\n")
