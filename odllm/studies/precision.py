"""Precision × keep ratio: fewer ranks, fewer bits, or both, for the same bytes?

The weights of every cell are rounded as the exporter rounds them and evaluated in torch, activations in float32; a few
cells can be held against the real bundle under ONNX Runtime (`odllm.studies.bundles`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from compression.config import preset
from lcrec.metrics import NOT_FOUND
from odllm.rounding import find_rounding
from odllm.studies.bundles import SOURCE
from odllm.studies.cells import DENSE, Cell, Recipe, Result, unpack_ranks
from odllm.studies.plots import size_plot
from odllm.studies.rows import CUTOFF, Gains, Measured, kept
from odllm.studies.study import Study
from odllm.studies.tables import (
    KEEP_RATIO,
    LABEL,
    MIB,
    PARAMETERS,
    PROJECTIONS_SIZE,
    QUALITY,
    SIZE,
    Column,
    show_kept,
)
from odllm_export.precision import find_precision

PRECISIONS = ("fp32", "int8-block32", "int4-block32", "int4-block128", "int3-block32")
RATIOS = (0.5,)
ROUNDED = "dense, rounded"
"""The line of the dense model in fewer bits."""

EXPORTED = ", bundle"
"""What ends the label of a cell whose exported bundle was asked, under ONNX Runtime."""

_SMALL, _COARSE = "int8-block32", "int4-block32"
"""The precisions that halve the ranks and the bits in turn: keep 0.5 at the one, dense at the other."""


def precision_study(
    precisions: Sequence[str] = PRECISIONS,
    ratios: Sequence[float] = RATIOS,
    *,
    name: str = "default",
    sequences: int = 1024,
    recover_s: float = 0.0,
    seeds: Sequence[int] = (0,),
    bundles: Sequence[str] = (),
) -> Study:
    """Return the study of precisions and keep ratios.

    Args:
        precisions: names of `odllm.rounding.ROUNDINGS`; fp32 is among them in any case.
        ratios: fractions kept, beside the dense model.
        name: of the recipe.
        sequences: of the calibration.
        recover_s: seconds of distillation after the compression, which makes further lines; 0 for none.
        seeds: of calibration and recovery.
        bundles: precisions at which the dense model and the training-free ones are exported and asked too.

    Raises:
        ExportError: there is no such precision.
        ConfigError: there is no such recipe.
        KeepRatioError: a ratio is not in (0, 1].
    """
    chosen = list(dict.fromkeys(("fp32", *precisions)))
    for one in chosen:
        find_rounding(one)
    cells = [Cell(label=DENSE, line=DENSE)]
    cells += [Cell(label=ROUNDED, line=ROUNDED, recipe=Recipe(precision=one), x=_bits(one)) for one in chosen[1:]]

    def recipe(ratio: float) -> Recipe:
        return Recipe(config=preset(name, keep_ratio=ratio), sequences=sequences, seed=seeds[0])

    for ratio in ratios:
        for seconds in (0.0, recover_s) if recover_s else (0.0,):
            line = _line(ratio, seconds)
            cells += [
                Cell(
                    label=line,
                    line=line,
                    x=_bits(one),
                    recipe=msgspec.structs.replace(recipe(ratio), recover_s=seconds, precision=one, seed=seed),
                )
                for seed in seeds
                for one in chosen
            ]
    plain = [
        Cell(label=DENSE, line=ROUNDED),
        *(Cell(label=_line(r, 0), line=_line(r, 0), recipe=recipe(r)) for r in ratios),
    ]
    for one in bundles:
        find_precision(one)
        cells += [_bundle_cell(cell, one) for cell in plain]
    return Study(
        name="precision",
        title=f"Precision × keep ratio, `{name}`",
        cells=tuple(cells),
        columns=(LABEL, _PRECISION, KEEP_RATIO, PARAMETERS, PROJECTIONS_SIZE, SIZE, *QUALITY),
        draw=lambda title, rows: size_plot(
            title.replace("`", ""), [row for row in rows if not row.line.endswith(EXPORTED)], ROUNDED
        ),
        notes=_notes,
    )


def _bundle_cell(cell: Cell, precision: str) -> Cell:
    """Return the cell whose exported bundle is asked."""
    return msgspec.structs.replace(
        cell,
        label=f"{cell.label}{EXPORTED}",
        line=f"{cell.line}{EXPORTED}",
        x=_bits(precision),
        recipe=msgspec.structs.replace(cell.recipe, precision=precision),
        source=SOURCE,
    )


_PRECISION = Column("precision", lambda row: row.precision, text=True)


def _line(ratio: float, seconds: float) -> str:
    return f"keep {ratio:g}" + (f" + {seconds:g} s recovery" if seconds else "")


def _bits(precision: str) -> float:
    """Return the place on a line: rows of one precision are one row."""
    found = find_rounding(precision)
    return found.bits + found.block / 1000


def _notes(measured: Measured) -> list[str]:
    notes = [
        "Rounded as the exporter rounds, embedding and head included, and evaluated in torch with float32 activations. "
        "Sizes hold the scales; norms stay float32."
    ]
    by_name = {(cell.line, cell.recipe.precision): result for cell, result in measured.pairs()}
    for line in dict.fromkeys(cell.line for cell in measured.cells if cell.line.startswith("keep 0.5")):
        if not line.endswith(EXPORTED) and {(line, _SMALL), (ROUNDED, _COARSE)} <= by_name.keys():
            ratio = kept(_gains(measured, line, _SMALL), _gains(measured, ROUNDED, _COARSE))
            ours, theirs = (by_name[key].projection_bytes / MIB for key in ((line, _SMALL), (ROUNDED, _COARSE)))
            notes.append(
                f"At about equal bytes: {line} at {_SMALL} ({ours:.2f} MiB of projections) has {show_kept(ratio)} of "
                f"the NDCG@10 of {ROUNDED} to {_COARSE} ({theirs:.2f} MiB)."
            )
    return notes + _bundle_notes(measured)


def _bundle_notes(measured: Measured) -> list[str]:
    """Say how often a bundle and the rounding in torch put the target at the same rank."""
    ranks = {(cell.line, cell.recipe.precision): _first_ten(result) for cell, result in measured.pairs()}
    ranks[ROUNDED, "fp32"] = ranks[DENSE, "fp32"]
    same = [
        f"{line.removesuffix(EXPORTED)} at {precision} {np.mean(found == ranks[plain]):.4f}"
        for (line, precision), found in ranks.items()
        if line.endswith(EXPORTED) and (plain := (line.removesuffix(EXPORTED), precision)) in ranks
    ]
    if not same:
        return []
    return [
        "Share of users whose target the bundle and torch put at the same of the first ten ranks, or at none: "
        f"{', '.join(same)}."
    ]


def _first_ten(result: Result) -> NDArray[np.int64]:
    """Return the ranks up to ten: a bundle's list ends after so many items, the search in torch after so many codes."""
    ranks = unpack_ranks(result.ranks)
    return np.where(ranks < CUTOFF, ranks, NOT_FOUND)


def _gains(measured: Measured, line: str, precision: str) -> Gains:
    return measured.gains(lambda cell: cell.line == line and cell.recipe.precision == precision)
