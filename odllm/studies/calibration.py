"""Calibration: how many sequences of training users a compression needs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from compression.config import preset
from odllm.studies.cells import DENSE, Cell, Recipe
from odllm.studies.plots import Scale, line_plot
from odllm.studies.rows import Row
from odllm.studies.study import Study
from odllm.studies.tables import LABEL, QUALITY, SECONDS, Column

COUNTS = (64, 128, 256, 512, 1024, 4096)


def calibration_study(
    presets: Sequence[str] = ("default", "whitened"),
    counts: Sequence[int] = COUNTS,
    *,
    keep_ratio: float = 0.5,
    seeds: Sequence[int] = (0, 1, 2),
) -> Study:
    """Return the study of calibration sequences; the seeds vary which ones are chosen.

    Raises:
        ConfigError: there is no such recipe.
        KeepRatioError: the ratio is not in (0, 1].
    """
    cells = [Cell(label=DENSE, line=DENSE)]
    cells += [
        Cell(
            label=name,
            line=name,
            x=count,
            recipe=Recipe(config=preset(name, keep_ratio=keep_ratio), sequences=count, seed=seed),
        )
        for name in presets
        for count in counts
        for seed in seeds
    ]
    return Study(
        name="calibration",
        title=f"Calibration sequences at keep ratio {keep_ratio:g}",
        cells=tuple(cells),
        columns=(LABEL, _SEQUENCES, _TOKENS, *QUALITY, SECONDS),
        draw=_draw,
    )


_SEQUENCES = Column("sequences", lambda row: "–" if row.is_dense else f"{row.x:,.0f}")
_TOKENS = Column("tokens", lambda row: "–" if row.is_dense else f"{row.calibration_tokens:,.0f}")


def _draw(title: str, rows: Sequence[Row]) -> Figure:
    ticks = {row.x: f"{row.x:,.0f}\n{row.calibration_tokens / 1000:,.1f} k" for row in rows if not row.is_dense}
    return line_plot(
        title, rows, Scale("calibration sequences, and the tokens that they hold (logarithmic)", True, ticks)
    )
