"""Reader of MovieLens: `ratings.csv` and `movies.csv`, as GroupLens ships them.

A rating of at least `min_rating` counts as an interaction. A film's year is part of its title ("Toy Story
(1995)"), or a column of its own as in the copy of the R package dslabs. Genres become the item's text.
"""

from __future__ import annotations

from pathlib import Path

from lcrec.dataset import Dataset, Item
from lcrec.errors import DatasetError
from lcrec.importers.csv_table import parse_number, read_columns
from lcrec.importers.imported import Imported, hash_sources, require_file
from lcrec.importers.interactions import Columns, to_sequences
from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_title

NO_GENRES = "(no genres listed)"


def import_movielens(
    folder: Path, *, name: str = "movielens", min_rating: float = 4.0, min_interactions: int = 5
) -> Imported:
    """Read the folder with `ratings.csv` and `movies.csv`; items are in the order of `movies.csv`.

    Args:
        folder: where the two files are.
        name: what reports call the dataset.
        min_rating: stars (0.5 to 5) from which on a rating counts as an interaction.
        min_interactions: users and films with fewer interactions are dropped, again and again.

    Raises:
        DatasetError: a file is missing or damaged, a number is none, a rated film is not in `movies.csv`, or
            nothing is left.
    """
    ratings_path = require_file(folder / "ratings.csv", "MovieLens")
    movies_path = require_file(folder / "movies.csv", "MovieLens")
    repairs = Repairs()
    movies = _read_movies(movies_path)
    table = _read_ratings(ratings_path, movies, min_rating, repairs)
    left = to_sequences(table, min_interactions, repairs)
    repairs.add("items_without_interactions", len(movies) - len(left.items))
    titles = (clean_title(movies[item_id][0], item_id, repairs) for item_id in left.items)
    items = tuple(Item(one, title, movies[one][1]) for one, title in zip(left.items, titles, strict=True))
    dataset = Dataset(name, items, left.users, left.sequences)
    return Imported(dataset, repairs.counts(), hash_sources([ratings_path, movies_path]))


def _read_movies(path: Path) -> dict[str, tuple[str, str]]:
    """Return (title, text) by film id."""
    _, rows = read_columns(path, ["movieId", "title", "genres"], ["year"])
    movies: dict[str, tuple[str, str]] = {}
    for line, (movie_id, title, genres, year) in rows:
        if not movie_id or movie_id in movies:
            raise DatasetError(f"{path}, line {line}: movieId {movie_id!r} is empty or occurs twice")
        if title and year:
            title = f"{title} ({parse_number(year, 'year', path, line):.0f})"
        movies[movie_id] = title, "" if genres == NO_GENRES else genres.replace("|", " ")
    return movies


def _read_ratings(path: Path, movies: dict[str, tuple[str, str]], min_rating: float, repairs: Repairs) -> Columns:
    _, rows = read_columns(path, ["userId", "movieId", "rating", "timestamp"])
    table = Columns()
    for movie_id in movies:
        table.items[movie_id]  # rows in the order of movies.csv, whatever the order of the ratings
    for line, (user_id, movie_id, rating, timestamp) in rows:
        if not user_id:
            raise DatasetError(f"{path}, line {line}: an empty userId")
        if movie_id not in movies:
            raise DatasetError(f"{path}, line {line}: film {movie_id!r} is not in movies.csv")
        stars = parse_number(rating, "rating", path, line)
        time = parse_number(timestamp, "timestamp", path, line)
        if stars >= min_rating:
            table.add(user_id, movie_id, time)
        else:
            repairs.add("interactions_below_min_rating")
    return table
