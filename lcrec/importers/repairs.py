"""What an import may mend or leave out: every way has a name, a sentence, and a count in `dataset.json`."""

from __future__ import annotations

from collections import Counter

REPAIRS = {
    "html_entities_unescaped": "titles or texts in which entities such as &eacute; became characters",
    "markup_removed": "titles or texts with HTML tags, scripts or styles; these are left out",
    "whitespace_tidied": "titles or texts with line breaks, control characters, or spaces to spare",
    "empty_titles": 'items without a title, now called "Item <id>"',
    "conflicting_titles": "items with more than one title; the first that is not empty counts",
    "long_texts_cut": "texts of more than 2,000 characters; cut",
    "metadata_is_script": "rows of metadata whose title is a script of the shop's page; they do not count",
    "duplicate_rows": "rows that repeat a user, item and time; dropped",
    "repeated_items": "interactions with an item that the user had before; dropped",
    "items_without_metadata": "items that the metadata do not know (with --require-titles: or have no title for)",
    "interactions_with_unknown_items": "interactions with those items; dropped",
    "users_put_in_time_order": "users whose rows were not in time order; sorted, equal times in file order",
    "equal_times": "interactions at the same time as another of the user; kept in file order",
    "interactions_below_min_rating": "interactions rated below --min-rating; dropped",
    "interactions_outside_core": "interactions of users (three at least) or items below --min-interactions; dropped",
    "users_too_short": "users with fewer than three interactions, too few to split; dropped",
    "items_without_interactions": "items nobody interacted with; dropped",
    "items_without_interactions_kept": "items nobody interacted with; kept, because they have codes",
    "texts_of_other_users": "users in X.user.json who are not in the dataset; their texts were not read",
    "intentions_for_testing": "intentions for testing in X.user.json; not read, so that nothing learns from them",
    "intentions_of_held_out_items": "intentions that mean an item held out for validation or testing; dropped",
}


class Repairs:
    """Counts repairs by the names of `REPAIRS`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Count `count` more repairs of this name.

        Raises:
            KeyError: the name is not documented in `REPAIRS`.
        """
        if name not in REPAIRS:
            raise KeyError(name)
        self._counts[name] += count

    def counts(self) -> dict[str, int]:
        """Return the repairs that happened, in the order of `REPAIRS`."""
        return {name: self._counts[name] for name in REPAIRS if self._counts[name]}
