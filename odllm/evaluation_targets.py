"""What can be evaluated, a model folder or a bundle, opened and checked before anything is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compression.processes import local_device
from lcrec.code_tree import Constraint
from lcrec.dataset import Dataset
from lcrec.dataset_match import check_code_sizes, compare_data
from lcrec.errors import SearchError
from lcrec.evaluate import Illegal, Ranker, Ranking, dataset_catalog, items_ranking, model_ranker
from lcrec.sasrec import CARD as SASREC_CARD
from lcrec.sasrec import load_sasrec, sasrec_ranker
from lcrec.search import Scoring
from lcrec.templates import DEPLOYED, chosen_prompts
from odllm_export.bundle import MANIFEST
from odllm_export.engine import Options
from odllm_export.runtime import Recommender


@dataclass(frozen=True)
class EvaluationProtocol:
    """How everything is evaluated that one table compares.

    Attributes:
        split: `test` or `validation`.
        constraint: of a model's search; a bundle has its own.
        scoring: likewise.
        num_beams: likewise.
        users: evaluate only so many, drawn by seed 0; None takes all.
        seen: whether lists may hold what is in the history.
        illegal: where answers stand that are no item (constraint `levels`).
        template: `deployed`, `all` or a number: which of a model's prompts.
        batch_users: users searched at once.
        device: of a model: `auto` takes CUDA where there is one.
        threads: of a bundle's runtime; a model has torch's.
    """

    split: str = "test"
    constraint: Constraint = "trie"
    scoring: Scoring = "codes"
    num_beams: int = 20
    users: int | None = None
    seen: bool = True
    illegal: Illegal = "kept"
    template: str = DEPLOYED
    batch_users: int = 64
    device: str = "auto"
    threads: int = 1

    def check(self) -> None:
        """Check the words among the settings.

        Raises:
            SearchError: one that does not exist.
        """
        known: dict[str, tuple[str, tuple[str, ...]]] = {
            "split": (self.split, ("test", "validation")),
            "constraint": (self.constraint, ("trie", "levels")),
            "scoring": (self.scoring, ("codes", "vocab")),
            "illegal": (self.illegal, ("kept", "last")),
        }
        for name, (value, values) in known.items():
            if value not in values:
                raise SearchError(f"{name} {value!r} is not one of {', '.join(values)}")
        self.torch_device()

    def torch_device(self) -> torch.device:
        """Return the device that models run on.

        Raises:
            SearchError: there is no such device here.
        """
        try:
            device = local_device(self.device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            reason = str(error).splitlines()[0]
            raise SearchError(f"device {self.device!r} cannot be used here: {reason} Leave out --device.") from error
        return device


@dataclass(frozen=True)
class Target:
    """What is evaluated.

    Attributes:
        rankers: by the number of the template.
        facts: what its row says about the search.
        words: of the templates, by number.
        note: in words, how the dataset differs from the one the model was trained on; None if it does not.
    """

    rankers: Mapping[int, Ranker]
    facts: dict[str, Any]
    words: Mapping[int, dict[str, str]] = field(default_factory=dict)
    note: str | None = None


def open_target(
    target: Path, dataset: Dataset, protocol: EvaluationProtocol, folder: Path | None, any_codes: bool
) -> Target:
    """Open a model folder, a bundle or a folder of SASRec's, checked against the dataset.

    Args:
        target: the folder.
        dataset: with item codes.
        protocol: how it will be evaluated.
        folder: of the dataset, to compare its files with those the model was trained on; None does not.
        any_codes: open a model of other codes all the same.

    Raises:
        SearchError: a bundle asked for another search, or for templates.
        ItemCodesError: the dataset's codes are not the model's.
        PromptError: the model has no such template, or no tokenizer to read it.
        ExportError: a damaged bundle, or one of another dataset.
        CompressionError: a damaged model folder.
    """
    bundle, sasrec = (target / MANIFEST).is_file(), (target / SASREC_CARD).is_file()
    if (bundle or sasrec) and protocol.template != DEPLOYED:
        raise SearchError(f"{target} is no model folder of a language model: it has no template {protocol.template!r}")
    if bundle:
        return _open_bundle(target, dataset, protocol)
    if sasrec:
        # Items, not codes, are what it ranks: nothing is constrained and no beam is searched.
        facts = {"constraint": "items", "scoring": "items", "num_beams": 0}
        return Target({0: sasrec_ranker(load_sasrec(target)[0], dataset)}, facts)
    return _open_model(target, dataset, protocol, folder, any_codes)


def _open_bundle(target: Path, dataset: Dataset, protocol: EvaluationProtocol) -> Target:
    recommender = Recommender.open(target, Options(threads=protocol.threads))
    search = recommender.manifest.search
    check_code_sizes(recommender.catalog.code_sizes, target, dataset)
    if protocol.constraint != search.constraint:
        raise SearchError(f"{target} is a bundle and searches under {search.constraint!r}, not {protocol.constraint!r}")
    if protocol.scoring != search.scoring:
        raise SearchError(f"{target} is a bundle and scores by {search.scoring!r}: say --scoring {search.scoring}")
    facts = {"constraint": search.constraint, "scoring": search.scoring, "num_beams": search.num_beams}
    return Target({0: bundle_ranker(recommender, dataset)}, facts)


def _open_model(
    target: Path, dataset: Dataset, protocol: EvaluationProtocol, folder: Path | None, any_codes: bool
) -> Target:
    from compression.checkpoint import load_model
    from lcrec.prompt import read_card

    card = read_card(target)
    check_code_sizes(card.prompt.code_sizes, target, dataset)
    note = None if folder is None else compare_data(card, target, folder, any_codes=any_codes)
    prompts = chosen_prompts(card, target, protocol.template)
    model, catalog = load_model(target).to(protocol.torch_device()), dataset_catalog(dataset)
    rankers = {
        number: model_ranker(
            model,
            prompt,
            catalog,
            num_beams=protocol.num_beams,
            constraint=protocol.constraint,
            scoring=protocol.scoring,
        )
        for number, prompt in prompts.items()
    }
    words = {number: {"prefix": text.prefix, "suffix": text.suffix} for number, text in enumerate(card.templates)}
    facts = {"constraint": protocol.constraint, "scoring": protocol.scoring, "num_beams": protocol.num_beams}
    return Target(rankers, facts | {"illegal": protocol.illegal}, words, note)


def bundle_ranker(recommender: Recommender, dataset: Dataset) -> Ranker:
    """Return the ranker of a bundle: its lists, as the device would show them.

    Items that were added to the bundle alone stay in their places, under the codes that they have there.

    Raises:
        HistoryError: the dataset has items that the bundle does not know.
    """
    rows = recommender.rows_of(dataset.item_ids)  # dataset row to bundle row
    codes = recommender.catalog.codes.copy()  # [bundle's items, levels]
    codes[rows] = dataset.require_codes().codes

    def rank(histories: Sequence[NDArray[np.int32]]) -> list[Ranking]:
        return [items_ranking(recommender.recommend_rows(rows[h])[0], codes) for h in histories]

    return rank
