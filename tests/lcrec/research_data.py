"""Where the research data is, which is not part of the repository."""

from pathlib import Path

import pytest


def research_data(name):
    """Return the folder of one dataset, beside the repository; skip the test where there is none."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"the research data {name} is not beside the repository (shared/data/{name})")
    return folder
