"""How a bundle's answers compare with its golden lists, as records hold it. Loads no runtime."""

from __future__ import annotations

import msgspec


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a bundle's answers compare with its golden lists.

    Attributes:
        computed_by: whose lists those are: the `model`'s in torch, or the `graph`'s where the bundle was made.
        min_overlap: what the bundle asks for, for its rounding; 1: equal lists.
        cases: lists asked for.
        equal_lists: how many of them came back, up to ties.
        overlap: share of the golden items that came back, mean over lists.
        score_difference: the largest between the two scores of an item that is in both lists, in nats.
    """

    computed_by: str
    min_overlap: float
    cases: int
    equal_lists: int
    overlap: float
    score_difference: float
