"""Data that is shipped with the program, so that the demo needs no download.

`movielens/` has its own conditions of use (GroupLens: research, non-commercial); see `movielens/README.md`.
"""

from __future__ import annotations

from pathlib import Path


def embedded_movielens() -> Path:
    """Return the folder with the embedded `ratings.csv` and `movies.csv`, for `import_movielens`."""
    return Path(__file__).parent / "movielens"
