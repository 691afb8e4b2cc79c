"""Ablation: the 2×2 of token covariance normalization and progressive alignment, and the recipes beside it."""

from __future__ import annotations

from collections.abc import Sequence

from compression.config import preset
from lcrec.metrics import bootstrap_interval
from odllm.studies.cells import DENSE, Cell, Recipe
from odllm.studies.plots import row_plot
from odllm.studies.rows import Measured, kept
from odllm.studies.study import Study
from odllm.studies.tables import LABEL, PARAMETERS, QUALITY, SECONDS, Column, show_kept

SQUARE = {
    "plain-svd": (False, False),
    "paper-without-alignment": (True, False),
    "paper-without-normalization": (False, True),
    "paper": (True, True),
}
"""Recipe → whether it normalises, whether it aligns."""

BESIDE = ("svd-llm", "whitened", "default")

LETTERS = (
    "The paper's ablation names four variants, M-S, M-NS, M-L and M, whose definitions we could not read. "
    "**Presumed**: they are the 2×2 of normalization and alignment, M-S `plain-svd` (SVD alone), M-NS "
    "`paper-without-alignment` (normalised SVD), M-L `paper-without-normalization` (layer-wise alignment), M `paper`. "
    "`paper` itself is OD-LLM as far as it is published; the target of its alignment is presumed too."
)


def ablation_study(
    *, keep_ratio: float = 0.5, sequences: int = 1024, seeds: Sequence[int] = (0,), beside: Sequence[str] = BESIDE
) -> Study:
    """Return the ablation at one keep ratio.

    Args:
        keep_ratio: of all recipes.
        sequences: of the calibration.
        seeds: of the choice of sequences.
        beside: recipes shown below the 2×2.

    Raises:
        ConfigError: there is no such recipe.
        KeepRatioError: the ratio is not in (0, 1].
    """
    cells = [Cell(label=DENSE, line=DENSE)]
    cells += [
        Cell(
            label=f"`{name}`",
            line="the 2×2" if name in SQUARE else "beside it",
            recipe=Recipe(config=preset(name, keep_ratio=keep_ratio), sequences=sequences, seed=seed),
        )
        for name in (*SQUARE, *beside)
        for seed in seeds
    ]
    return Study(
        name="ablation",
        title=f"Ablation at keep ratio {keep_ratio:g}",
        cells=tuple(cells),
        columns=(LABEL, _flag("normalization", 0), _flag("alignment", 1), PARAMETERS, *QUALITY, SECONDS),
        draw=row_plot,
        notes=_notes,
    )


def _flag(header: str, index: int) -> Column:
    def cell(row_label: str) -> str:
        flags = SQUARE.get(row_label.strip("`"))
        return "" if flags is None else ("yes" if flags[index] else "no")

    return Column(header, lambda row: cell(row.label), text=True)


def _notes(measured: Measured) -> list[str]:
    """Return the letters, and what `default` loses beside what SVD-LLM's recipe loses."""
    labels = {cell.label for cell in measured.cells}
    if not {"`default`", "`svd-llm`"} <= labels:
        return [LETTERS]
    dense, ours, theirs = (
        measured.gains(lambda cell, label=label: cell.label == label)  # type: ignore[misc]
        for label in (DENSE, "`default`", "`svd-llm`")
    )
    if bootstrap_interval((dense - theirs).mean(axis=0))[0] <= 0:
        return ["Over these users the loss of `svd-llm` may be chance: there is no share of it to tell.", LETTERS]
    share = show_kept(kept(dense - ours, dense - theirs))
    return [f"NDCG@10 lost by `default` ÷ lost by `svd-llm`: {share}.", LETTERS]
