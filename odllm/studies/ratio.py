"""Keep ratio: what each fraction of the factored matrices keeps of the dense model's quality."""

from __future__ import annotations

from collections.abc import Sequence

from compression.config import preset
from odllm.studies.cells import DENSE, Cell, Recipe
from odllm.studies.plots import Scale, line_plot
from odllm.studies.study import Study
from odllm.studies.tables import KEEP_RATIO, LABEL, PARAMETERS, QUALITY, SECONDS, Column

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def ratio_study(
    presets: Sequence[str] = ("default",),
    ratios: Sequence[float] = RATIOS,
    *,
    sequences: int = 1024,
    recover_s: float = 0.0,
    seeds: Sequence[int] = (0,),
) -> Study:
    """Return the study of keep ratios.

    Args:
        presets: recipes, a line each.
        ratios: fractions kept.
        sequences: of the calibration.
        recover_s: seconds of distillation, which makes a second line of every recipe; 0 for none.
        seeds: of calibration and recovery.

    Raises:
        ConfigError: there is no such recipe.
        KeepRatioError: a ratio is not in (0, 1].
    """
    cells = [Cell(label=DENSE, line=DENSE, x=1.0)]
    for name in presets:
        for seconds in (0.0, recover_s) if recover_s else (0.0,):
            line = f"{name} + {seconds:g} s recovery" if seconds else name
            cells += [
                Cell(
                    label=line,
                    line=line,
                    x=ratio,
                    recipe=Recipe(
                        config=preset(name, keep_ratio=ratio), sequences=sequences, recover_s=seconds, seed=seed
                    ),
                )
                for ratio in ratios
                for seed in seeds
            ]
    return Study(
        name="ratio",
        title="Keep ratio",
        cells=tuple(cells),
        columns=(LABEL, _ASKED, KEEP_RATIO, PARAMETERS, *QUALITY, SECONDS),
        draw=lambda title, rows: line_plot(title, rows, Scale("keep ratio: fraction of the seven projections kept")),
    )


_ASKED = Column("keep ratio", lambda row: f"{row.x:g}")
