"""Texts about users that a language model wrote from their training parts: preferences, and wishes for an item.

They come with LC-Rec's files and are kept in a dataset folder's `user_texts.jsonl`, one user a line. Two tasks are
made of them (docs/tasks.md).
"""

from __future__ import annotations

import msgspec


class Intention(msgspec.Struct, frozen=True):
    """What a user wanted when they chose an item of their training part.

    Attributes:
        item: its id.
        queries: the wish in words, in several versions.
    """

    item: str
    queries: tuple[str, ...]


class UserTexts(msgspec.Struct, frozen=True):
    """All texts about one user.

    Attributes:
        user: the id.
        preferences: what the user likes, in several versions.
        intentions: what the user wanted.
    """

    user: str
    preferences: tuple[str, ...] = ()
    intentions: tuple[Intention, ...] = ()
