"""Streaming users: histories grow after the compression; does quality hold without calibrating again?

The model is compressed with calibration sequences of the beginning of every user's training part, and asked for the
user's last items, one step after the other, each given everything before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from compression.config import preset
from odllm.studies.cells import DENSE, Cell, Recipe
from odllm.studies.errors import StudyError
from odllm.studies.plots import Scale, line_plot
from odllm.studies.rows import Gains, Measured, Row, kept
from odllm.studies.study import Study
from odllm.studies.tables import LABEL, QUALITY, Column, show_kept

HELD_OUT = 2
"""Items at every history's end that the dense model was not trained on (it was validated on the first of them)."""

SHARES = (0.25, 0.5, 1.0)
STEPS = 4


def streaming_study(
    name: str = "default",
    *,
    keep_ratio: float = 0.5,
    sequences: int = 1024,
    shares: Sequence[float] = SHARES,
    steps: int = STEPS,
    seeds: Sequence[int] = (0,),
) -> Study:
    """Return the study of growing histories.

    Args:
        name: of the recipe.
        keep_ratio: of the recipe.
        sequences: of the calibration.
        shares: parts of the training interactions that calibrate, 1 among them to compare with.
        steps: how many of every user's last items are asked for.
        seeds: of the choice of sequences.

    Raises:
        StudyError: a share is not in (0, 1], or there is no step.
        ConfigError: there is no such recipe.
    """
    if steps < 1 or not all(0 < share <= 1 for share in shares):
        raise StudyError(f"shares {list(shares)} and {steps} steps: expected shares above 0, up to 1, and a step")
    config = preset(name, keep_ratio=keep_ratio)
    asked = range(steps, 0, -1)  # the earliest item first, as time goes
    cells = [Cell(label=DENSE, line=DENSE, x=-step, step=step) for step in asked]
    cells += [
        Cell(
            label=_line(share),
            line=_line(share),
            x=-step,
            step=step,
            recipe=Recipe(config=config, sequences=sequences, history_share=share, seed=seed),
        )
        for share in sorted(shares)
        for seed in seeds
        for step in asked
    ]
    return Study(
        name="streaming",
        title=f"Histories that grow after the compression, `{name}` at keep ratio {keep_ratio:g}",
        cells=tuple(cells),
        columns=(LABEL, _ITEM, _TOKENS, *QUALITY),
        draw=_draw,
        notes=lambda measured: _notes(measured, sorted(shares), steps),
    )


def least_interactions(shares: Sequence[float], steps: int) -> int:
    """Return how long a history must be so that every item asked for is later than every early part that calibrated."""
    early = max((share for share in shares if share < 1), default=0.0)
    for length in range(HELD_OUT + 1, 10_000):
        if length - steps >= math.ceil(early * (length - HELD_OUT)) and length > steps:
            return length
    raise StudyError(f"no history is long enough for {steps} steps behind its first {100 * early:g} %; ask for fewer")


_ITEM = Column("item asked for", lambda row: _words(row.step), text=True)
_TOKENS = Column("calibration tokens", lambda row: "–" if row.is_dense else f"{row.calibration_tokens:,.0f}")


def _words(step: int) -> str:
    return "last" if step == 1 else f"{step - 1} before the last"


def _line(share: float) -> str:
    return "calibrated on all training items" if share == 1 else f"calibrated on their first {100 * share:g} %"


def _draw(title: str, rows: Sequence[Row]) -> Figure:
    ticks = {
        row.x: _words(row.step).replace(" the last", "") + ("\n(in training)" if row.step > HELD_OUT else "")
        for row in rows
    }
    return line_plot(title.replace("`", ""), rows, Scale("item asked for, counted from every user's last", ticks=ticks))


def _notes(measured: Measured, shares: Sequence[float], steps: int) -> list[str]:
    notes = [
        "Every item is asked for given all items before it, and lies behind the early parts that calibrated. The dense "
        f"model was trained on all but the last {HELD_OUT}: for earlier items it, and what was calibrated on all "
        "training items, had seen the answer."
    ]
    if shares[-1] < 1:
        return notes
    fresh = [step for step in range(1, steps + 1) if step <= HELD_OUT]
    for share in shares[:-1]:
        early, whole = (_pooled(measured, _line(one), fresh) for one in (share, 1.0))
        notes.append(
            f"Over the last {len(fresh)} items: NDCG@10 calibrated on the first {100 * share:g} % ÷ calibrated on all "
            f"training items is {show_kept(kept(early, whole))}."
        )
    return notes


def _pooled(measured: Measured, line: str, steps: Sequence[int]) -> Gains:
    """Return `[seeds, users]`: every user's mean over the steps, so that users stay what is drawn again."""
    each = [measured.gains(lambda cell, step=step: cell.line == line and cell.step == step) for step in steps]  # type: ignore[misc]
    pooled: Gains = np.mean(each, axis=0)
    return pooled
