"""Reader of MovieLens: `ratings.csv` and `movies.csv`, as GroupLens ships them.

A rating of at least `min_rating` counts as an interaction. A film's year is part of its title ("Toy Story
(1995)"), or a column of its own as in the copy of the R package dslabs. Genres become the item's text.
"""

from __future__ import annotations

from pathlib import Path

from lcrec.dataset import Dataset, Item
from lcrec.errors import DatasetError
from lcrec.importers.csv_table import open_table, parse_number
from lcrec.importers.imported import Imported, hash_sources, require_file
from lcrec.importers.interactions import Columns, Limits, to_sequences
from lcrec.importers.repairs import Repairs
from lcrec.importers.table import ITEM, TableColumns, read_block
from lcrec.importers.titles import clean_title
from odllm_artifact import Progress, silent

DEFAULT_LIMITS = Limits(min_rating=4.0, min_interactions=5)

NAMES = TableColumns("userId", "movieId", "timestamp", rating="rating")

NO_GENRES = "(no genres listed)"


def import_movielens(
    folder: Path,
    *,
    name: str = "movielens",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress = silent,
) -> Imported:
    """Read the folder with `ratings.csv` and `movies.csv`; items are in the order of `movies.csv`.

    Args:
        folder: where the two files are.
        name: what reports call the dataset.
        limits: which interactions stay; ratings are stars, 0.5 to 5.
        progress: told how much of the ratings is read.

    Raises:
        DatasetError: a file is missing or damaged, a number is none, a rated film is not in `movies.csv`, or
            nothing is left.
    """
    ratings_path = require_file(folder / "ratings.csv", "MovieLens")
    movies_path = require_file(folder / "movies.csv", "MovieLens")
    repairs = Repairs()
    movies = _read_movies(movies_path)
    columns = _read_ratings(ratings_path, movies, limits.min_rating, repairs, progress)
    left = to_sequences(columns, limits, repairs)
    repairs.add("items_without_interactions", len(movies) - len(left.items))
    titles = (clean_title(movies[item_id][0], item_id, repairs) for item_id in left.items)
    items = tuple(Item(one, title, movies[one][1]) for one, title in zip(left.items, titles, strict=True))
    dataset = Dataset(name, items, left.users, left.sequences)
    return Imported(dataset, repairs.counts(), hash_sources([ratings_path, movies_path]))


def _read_movies(path: Path) -> dict[str, tuple[str, str]]:
    """Return (title, text) by film id."""
    movies: dict[str, tuple[str, str]] = {}
    with open_table(path, ["movieId", "title", "genres"], ["year"]) as table:
        for block in table.blocks:
            values = (block.texts(column) for column in range(4))
            for line, movie_id, title, genres, year in zip(block.lines, *values, strict=True):
                if not movie_id or movie_id in movies:
                    raise DatasetError(f"{path}, line {line}: movieId {movie_id!r} is empty or occurs twice")
                if title and year:
                    title = f"{title} ({parse_number(year, 'year', path, line):.0f})"
                movies[movie_id] = title, "" if genres == NO_GENRES else genres.replace("|", " ")
    return movies


def _read_ratings(
    path: Path, movies: dict[str, tuple[str, str]], min_rating: float | None, repairs: Repairs, progress: Progress
) -> Columns:
    columns = Columns()
    for movie_id in movies:
        columns.items[movie_id]  # rows in the order of movies.csv, whatever the order of the ratings
    with open_table(path, NAMES.required, NAMES.optional, progress=progress) as table:
        NAMES.check(path, table.present, min_rating)
        for block in table.blocks:
            unknown = next((row for row, one in enumerate(block.texts(ITEM)) if one and one not in movies), None)
            if unknown is not None:
                raise DatasetError(f"{block.place(unknown)}: film {block.texts(ITEM)[unknown]!r} is not in movies.csv")
            read_block(block, NAMES, min_rating, columns, repairs)
    return columns
