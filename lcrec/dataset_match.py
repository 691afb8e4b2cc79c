"""Whether a dataset's item codes are those that a model speaks: the same numbers in other codes are other items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcrec.cold_start import check_codes_of_model
from lcrec.dataset import Dataset
from lcrec.errors import ItemCodesError
from lcrec.prompt import RecommenderCard, read_card
from odllm_artifact import sha256_file

_CODES = "codes.json"


def check_code_sizes(needed: Sequence[int], model: Path, dataset: Dataset) -> None:
    """Check that a dataset's codes have the levels and sizes of a model's or a bundle's.

    Args:
        needed: codes a level.
        model: its folder, for the message.
        dataset: with item codes.

    Raises:
        ItemCodesError: there are no codes, or others.
    """
    found, needed = list(dataset.require_codes().sizes), list(needed)
    if len(found) != len(needed):
        raise ItemCodesError(
            f"the codes of dataset {dataset.name!r} have {len(found)} levels, those of {model} have {len(needed)}. "
            "Give the dataset that the model was trained on."
        )
    if found != needed:
        raise ItemCodesError(
            f"the codes of dataset {dataset.name!r} have the sizes {found}, those of {model} {needed}. "
            "Give the dataset that the model was trained on."
        )


def check_codes(model: Path, dataset: Dataset, folder: Path) -> int:
    """Check that a dataset's codes are those that a model folder was trained on, or those with items added.

    Args:
        model: the folder.
        dataset: with item codes.
        folder: of the dataset.

    Returns:
        Items that were added since the training.

    Raises:
        ItemCodesError: there are no codes, or others.
        PromptError: the model folder is no recommender's.
    """
    card = read_card(model)
    check_code_sizes(card.prompt.code_sizes, model, dataset)
    return check_codes_of_model(card.dataset, folder)


def compare_data(card: RecommenderCard, model: Path, folder: Path, *, any_codes: bool = False) -> str | None:
    """Return in words how a dataset folder differs from the one that a model was trained on; None if it does not.

    The codes may be those of more items, if the old ones kept theirs (`lcrec.cold_start`).

    Args:
        card: of the model; without hashes in it there is nothing to compare.
        model: its folder.
        folder: of the dataset.
        any_codes: take other codes all the same.

    Raises:
        ItemCodesError: the codes are others.
        ArtifactError: a file of the folder is missing or damaged.
    """
    names = [name for name in (_CODES, "items.jsonl", "sequences.jsonl") if f"{name}_sha256" in card.dataset]
    others = [name for name in names if sha256_file(folder / name) != card.dataset[f"{name}_sha256"]]
    if not others:
        return None
    trained_on = card.dataset.get("name", "another one")
    if _CODES not in others:
        return (
            f"{folder} is not quite what {model} was trained on ({trained_on}): the same codes, other {_files(others)}"
        )
    try:
        added = check_codes_of_model(card.dataset, folder)
    except ItemCodesError as error:
        if not any_codes:
            raise ItemCodesError(f"{error} --any-codes evaluates all the same.") from error
        return f"{folder} has other item codes than {model} was trained with ({trained_on}, by the hash of {_CODES})"
    return f"{folder} has {added:,} items that {model} was not trained with: codes were added to those of {trained_on}"


def _files(names: list[str]) -> str:
    return " and ".join(name.removesuffix(".jsonl") for name in names)
