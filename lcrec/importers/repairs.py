"""What an import may mend or leave out: every way has a name, a sentence, and a count in `dataset.json`."""

from __future__ import annotations

from collections import Counter

REPAIRS = {
    "html_entities_unescaped": "titles or texts in which entities such as &eacute; became characters",
    "whitespace_tidied": "titles or texts with line breaks, control characters, or spaces to spare",
    "empty_titles": 'items without a title, now called "Item <id>"',
    "conflicting_titles": "items with more than one title; the first that is not empty counts",
    "duplicate_rows": "rows that repeat a user, item and time; dropped",
    "users_put_in_time_order": "users whose rows were not in time order; sorted, equal times in file order",
    "equal_times": "interactions at the same time as another of the user; kept in file order",
    "interactions_below_min_rating": "interactions rated below --min-rating; dropped",
    "interactions_outside_core": "interactions of users or items with fewer than --min-interactions; dropped",
    "users_too_short": "users with fewer than three interactions, too few to split; dropped",
    "items_without_interactions": "items nobody interacted with; dropped",
    "items_without_interactions_kept": "items nobody interacted with; kept, because they have codes",
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
