"""Reader of LC-Rec's `X.user.json`: what a language model wrote about users.

user_explicit_preference   user id -> texts, several versions of what the user likes
user_vague_intention       train, test -> user id -> {"item": …, "inters": […], "querys": [texts]}: what the user
                           wanted when choosing that item; `inters`, what came before, is in the sequences anyway

LC-Rec makes the preferences and the intentions of `train` from a user's items before the last three, the item
meant being the third last: training parts only. Intentions of `test` mean the very last item. They are not read, so
that nothing can learn from them; and one of `train` that means a held-out item is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lcrec.dataset import Dataset
from lcrec.errors import DatasetError
from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_text
from lcrec.user_texts import Intention, UserTexts

PREFERENCES, INTENTIONS = "user_explicit_preference", "user_vague_intention"


def parse_user_texts(value: Mapping[str, Any], dataset: Dataset, path: Path, repairs: Repairs) -> dict[str, UserTexts]:
    """Return the texts about the dataset's users by user id.

    Args:
        value: what `X.user.json` holds.
        dataset: the sequences they are about.
        path: of the file, for messages.
        repairs: counts what is left out.

    Raises:
        DatasetError: it has neither part, or one is of another form; the message names the user.
    """
    preferences, intentions = _part(value, PREFERENCES, path), _part(value, INTENTIONS, path)
    if preferences is None and intentions is None:
        raise DatasetError(f"{path} has neither {PREFERENCES!r} nor {INTENTIONS!r}; expected one of them at least")
    learned, tested = (_part(intentions or {}, part, path) or {} for part in ("train", "test"))
    repairs.add("intentions_for_testing", len(tested))
    known, texts = set(dataset.users), {}
    others = {*(preferences or {}), *learned} - known
    repairs.add("texts_of_other_users", len(others))
    for user, sequence in zip(dataset.users, dataset.sequences, strict=True):
        likes = _texts((preferences or {}).get(user, []), f"{path}, {PREFERENCES}, user {user!r}", repairs)
        wish = None
        if user in learned:
            training = {dataset.items[row].id for row in sequence[:-2]}
            wish = _intention(learned[user], training, dataset, f"{path}, {INTENTIONS}, user {user!r}", repairs)
        if likes or wish:
            texts[user] = UserTexts(user, likes, (wish,) if wish else ())
    return texts


def _part(value: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any] | None:
    part = value.get(name)
    if part is not None and not isinstance(part, dict):
        raise DatasetError(f"{path}: {name!r} is {type(part).__name__}; expected an object by user id")
    return part


def _intention(value: object, training: set[str], dataset: Dataset, place: str, repairs: Repairs) -> Intention | None:
    """Return what one user wanted, or None where that is a held-out item or nothing is said."""
    if not isinstance(value, dict) or not isinstance(value.get("item"), int | str):
        raise DatasetError(f"{place}: {str(value)[:60]!r}; expected an object with an item and querys")
    item = str(value["item"])
    if item not in training:
        try:
            dataset.row_of(item)
        except DatasetError as error:
            raise DatasetError(f"{place}: {error}") from error
        repairs.add("intentions_of_held_out_items")
        return None
    queries = _texts(value.get("querys"), place, repairs)
    return Intention(item, queries) if queries else None


def _texts(value: object, place: str, repairs: Repairs) -> tuple[str, ...]:
    """Return texts, tidied, each once, empty ones left out."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DatasetError(f"{place}: {str(value)[:60]!r}; expected a list of texts")
    return tuple(dict.fromkeys(tidy for text in value if (tidy := clean_text(text, repairs))))
