"""Reader of Steam's reviews as UCSD publishes them: `steam_reviews.json.gz` and `steam_games.json.gz`.

Their lines are no JSON but Python dictionaries; they are parsed as literals, never run. A review says who (the
`username`: most have no other id), what and on which day; several reviews of a day stay in file order.

Source: cseweb.ucsd.edu/~jmcauley/datasets.html, "Steam Video Game and Bundle Data", version 2; the reviews were made
for Kang, McAuley 2018, "Self-Attentive Sequential Recommendation", which counts users by `username` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import msgspec

from lcrec.importers.dump import Dump
from lcrec.importers.json_lines import read_python_lines, record_blocks
from lcrec.importers.table import Block, TableColumns
from odllm_artifact import Progress

NAMES = TableColumns("username", "product_id", "date")

FIELDS = ("username", "product_id", "day", None, None)
"""The records' attributes in the order of a table's columns."""


class Review(msgspec.Struct, gc=False):
    """A line of `steam_reviews.json.gz`."""

    username: str
    product_id: str
    date: date

    @property
    def day(self) -> int:
        """Days since the year 1."""
        return self.date.toordinal()


class Game(msgspec.Struct, gc=False):
    """A line of `steam_games.json.gz`; two of them have no id."""

    item_id: str = msgspec.field(name="id", default="")
    app_name: str | None = None
    named: str | None = msgspec.field(name="title", default=None)
    genres: list[str] | None = None
    tags: list[str] | None = None
    developer: str | None = None

    @property
    def title(self) -> str | None:
        """What the shop calls it."""
        return self.app_name or self.named

    def words(self) -> str:
        """Return genres and tags, each once, and who made it."""
        return ", ".join(dict.fromkeys([*(self.genres or []), *(self.tags or []), *filter(None, [self.developer])]))


def _blocks(path: Path, progress: Progress) -> Iterator[Block]:
    return iter(record_blocks(path, read_python_lines(path, Review, progress), FIELDS))


def _games(path: Path, progress: Progress) -> Iterable[tuple[int, Game]]:
    return read_python_lines(path, Game, progress)


STEAM = Dump(_blocks, _games, NAMES)
"""`steam_reviews.json.gz` and `steam_games.json.gz`. There are no ratings: whoever reviewed a game has played it."""
