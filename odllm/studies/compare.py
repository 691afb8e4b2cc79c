"""Any models side by side: baselines, recovered and retrained models, bundles, under the protocol of every study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lcrec.dataset import Dataset
from lcrec.evaluate import Ranker, last_item_ranker, popularity_ranker
from lcrec.sasrec import CARD as SASREC_CARD
from lcrec.sasrec import load_sasrec, sasrec_ranker
from odllm.studies.cells import DENSE, Cell, Recipe, Result
from odllm.studies.errors import StudyError
from odllm.studies.plots import row_plot
from odllm.studies.running import Answer, Bench, ranked
from odllm.studies.study import Study
from odllm.studies.tables import LABEL, PARAMETERS, PROJECTIONS_SIZE, QUALITY, SIZE
from odllm_artifact import Progress, sha256_folder
from odllm_export.bundle import MANIFEST, WEIGHTS, read_manifest

WITHOUT_MODEL: Mapping[str, Callable[[Dataset], Ranker]] = {
    "popular items": popularity_ranker,
    "what followed the last item": last_item_ranker,
}


@dataclass(frozen=True)
class Rival:
    """A row of the comparison.

    Attributes:
        name: what the table calls it.
        folder: a model folder or a bundle.
        precision: what its weights are rounded to; `fp32` leaves them.
    """

    name: str
    folder: Path
    precision: str = "fp32"


def parse_rivals(text: str) -> list[Rival]:
    """Return the rivals of `name=folder,name=folder@precision,…`.

    Raises:
        StudyError: an entry is not of that form, a name occurs twice, or a folder is not there.
    """
    rivals = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, rest = entry.partition("=")
        folder, _, precision = rest.partition("@")
        if not equals or not name or not folder:
            raise StudyError(f"{entry!r} is not of the form name=folder or name=folder@precision")
        if not Path(folder).is_dir():
            raise StudyError(f"{name}: {folder} is no folder; expected a model folder or a bundle")
        rivals.append(Rival(name, Path(folder), precision or "fp32"))
    names = [rival.name for rival in rivals]
    for name in names:
        if names.count(name) > 1 or name in (DENSE, *WITHOUT_MODEL):
            raise StudyError(f"the name {name!r} is taken; every row needs its own")
    return rivals


def compare_study(rivals: Sequence[Rival]) -> Study:
    """Return the study of `rivals` beside the dense model, and of what needs no model below them.

    Raises:
        StudyError: there is nothing to compare.
    """
    if not rivals:
        raise StudyError("nothing to compare: name at least one model, --models name=folder")
    cells = [Cell(label=DENSE, line=DENSE)]
    cells += [
        Cell(label=rival.name, line="models", source=rival.name, recipe=Recipe(precision=rival.precision))
        for rival in rivals
    ]
    cells += [Cell(label=name, line="without a model", source=name) for name in WITHOUT_MODEL]
    return Study(
        name="compare",
        title="Models side by side",
        cells=tuple(cells),
        columns=(LABEL, PARAMETERS, PROJECTIONS_SIZE, SIZE, *QUALITY),
        draw=row_plot,
    )


def model_sources(dense: Path, rivals: Sequence[Rival]) -> dict[str, Path]:
    """Return name → folder of the dense model and of the rivals that torch runs."""
    return {DENSE: dense} | {rival.name: rival.folder for rival in rivals if _answer(rival.folder) is None}


def other_answers(rivals: Sequence[Rival]) -> dict[str, tuple[str, Answer]]:
    """Return what answers for the rows that torch does not run: bundles, and lists made without a model."""
    answers = {name: (name, _ranker_answer(make)) for name, make in WITHOUT_MODEL.items()}
    for rival in rivals:
        if (answer := _answer(rival.folder)) is not None:
            answers[rival.name] = (sha256_folder(rival.folder), answer)
    return answers


def _answer(folder: Path) -> Answer | None:
    """Return what answers for a folder that holds no language model; None for one that does."""
    if (folder / MANIFEST).is_file():
        return _bundle_answer(folder)
    return _sasrec_answer(folder) if (folder / SASREC_CARD).is_file() else None


def _bundle_answer(folder: Path) -> Answer:
    manifest = read_manifest(folder)  # a damaged bundle is refused before hours are spent on the others

    def answer(bench: Bench, cell: Cell, progress: Progress) -> Result:
        from odllm.evaluation_targets import bundle_ranker
        from odllm_export.runtime import Recommender

        search, asked = manifest.search, bench.protocol
        found = (search.num_beams, search.constraint, search.scoring)
        if found != (asked.num_beams, asked.constraint, asked.scoring):
            raise StudyError(
                f"{folder} searches with {found[0]} beams, {found[1]}, {found[2]}; every row is searched with "
                f"{asked.num_beams}, {asked.constraint}, {asked.scoring}. Export it so."
            )
        with Recommender.open(folder) as recommender:
            result = ranked(bench, bundle_ranker(recommender, bench.dataset), cell, progress)
        return msgspec.structs.replace(
            result,
            parameters=manifest.model.parameters,
            keep_ratio=manifest.model.keep_ratio,
            weight_bytes=manifest.files[WEIGHTS].bytes,
        )

    return answer


def _sasrec_answer(folder: Path) -> Answer:
    def answer(bench: Bench, cell: Cell, progress: Progress) -> Result:
        model, _ = load_sasrec(folder)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        result = ranked(bench, sasrec_ranker(model, bench.dataset), cell, progress)
        return msgspec.structs.replace(result, parameters=parameters, weight_bytes=4 * parameters)

    return answer


def _ranker_answer(make: Callable[[Dataset], Ranker]) -> Answer:
    return lambda bench, cell, progress: ranked(bench, make(bench.dataset), cell, progress)
