"""How `odllm compress` prints what it will do and what it did."""

from __future__ import annotations

from typing import Any

from odllm.console import out, print_table, say

_UNITS = {"parameters": "parameters", "bytes": "bytes", "latency": "µs of a call"}


def print_report(record: dict[str, Any]) -> None:
    """Print the content of `compression.json`: one row a projection, then what deserves a note."""
    linears = record["linears"]
    print_table(
        f"Kept {record['keep_ratio']:.3f} of the factored matrices, {record['model_size_ratio']:.3f} of the model "
        f"({record['parameters_before']:,} → {record['parameters_after']:,} parameters) "
        f"in {record['seconds']:.0f} s over {record['tokens']:,} calibration tokens",
        ["projection", "shape", "rank", "loss before", "loss after", "condition", "effective rank"],
        [_cells(linear) for linear in linears],
    )
    for event in record["events"] or ():
        say(f"note: {event}")
    for linear in linears:
        for event in linear["events"]:
            say(f"note: {linear['name']}: {event}")
    say(_calibration_line(record["calibration"]))
    if record["recovery"]:
        say(recovery_line(record["recovery"]))


def recovery_line(recovery: dict[str, Any]) -> str:
    """Return what a recovery did, in one line."""
    scores = recovery["validations"]
    judged = f", validation NDCG@10 {scores[0][1]:.4f} → {scores[-1][1]:.4f}" if scores else ""
    kept = ", the factors were clearly better before and are kept" if scores and not recovery["best_step"] else ""
    recipe = recovery["recipe"]
    return (
        f"recovery: {recovery['method']}, {recovery['trainable_parameters']:,} parameters, learning rate "
        f"{recipe['learning_rate']:g}, label weight {recipe['label_weight']:g}, {recovery['steps']} steps "
        f"in {recovery['seconds']:.0f} s, KL {recovery['kl_first']:.4f} → {recovery['kl_last']:.4f}{judged}{kept}"
    )


def _calibration_line(calibration: dict[str, Any]) -> str:
    levels = zip(calibration["code_tokens"], calibration["code_tokens_of_data"], strict=True)
    by_level = ", ".join(f"{there} of {all_}" for there, all_ in levels)
    lengths = f"{calibration['mean_items']:.1f} items (data: {calibration['mean_items_of_data']:.1f})"
    return (
        f"calibration: {calibration['sequences']:,} sequences ({calibration['choice']}) of {lengths}, "
        f"{calibration['coverage']:.1%} of the data's code tokens (by level {by_level})"
    )


def _cells(linear: dict[str, Any]) -> list[str]:
    rows, columns = linear["shape"]
    return [
        linear["name"].removeprefix("model.layers.").replace(".self_attn.", " ").replace(".mlp.", " "),
        f"{rows}×{columns}",
        str(linear["rank"]),
        f"{linear['loss_before']:.4f}",
        f"{linear['loss_after']:.4f}",
        f"{linear['condition']:.1e}",
        f"{linear['effective_rank']:.0f}",
    ]


def print_plan(record: dict[str, Any]) -> None:
    """Print the record of `describe_plan`: one row a block, one column a projection."""
    ranks, budget, allocation = (record["plan"][key] for key in ("ranks", "budget", "allocation"))
    rows: dict[str, dict[str, str]] = {}
    for name, rank in ranks.items():
        block, _, projection = name.removeprefix("model.layers.").partition(".")
        rows.setdefault(block, {})[projection.rpartition(".")[2].replace("_proj", "")] = str(rank)
    print_table(
        f"Ranks: {allocation['method']}, {budget['keep_ratio']} of the {budget['currency']} asked for; "
        f"{record['keep_ratio']:.3f} of the parameters of the factored matrices kept",
        ["block", *next(iter(rows.values()))],
        [[block, *cells.values()] for block, cells in rows.items()],
    )
    memory = record["memory"]
    parts = ", ".join(f"{name} {_mib(size)}" for name, size in memory.items() if name != "peak")
    lines = [
        f"projections: {budget['dense_cost']:,.0f} → {budget['plan_cost']:,.0f} {_UNITS[budget['currency']]}"
        + (f" at {budget['precision']}" if budget["precision"] else ""),
        f"model: {record['parameters_before']:,} → {record['parameters_after']:,} parameters; weights at "
        f"{record['precision']}: {_mib(record['weight_bytes_before'])} → {_mib(record['weight_bytes_after'])} MiB",
        f"memory at the peak: about {_mib(memory['peak'])} MiB ({parts})",
        f"time: {record['time']}, over {record['calibration_tokens']:,} calibration tokens",
    ]
    for line in lines:
        out.print(line, highlight=False, soft_wrap=True)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f}" if size < 10 << 20 else f"{size / 2**20:,.0f}"
