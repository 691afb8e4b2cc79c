"""The Kotlin library, asked by its own JUnit tests on this machine's JVM, about bundles that Python makes."""

import re
from pathlib import Path

import pytest
from bundles import make_bundles

from android_demo.tools.jvm_tests import run_tests
from android_demo.tools.modules import RECOMMENDER

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "android_demo" / "recommender" / "src" / "test"
GUIDE = ROOT / "docs" / "android.md"


def classes():
    """Every JUnit class of the library by its full name."""
    found = (path.relative_to(TESTS).with_suffix("") for path in TESTS.glob("*/**/*Test.*"))
    return sorted(".".join(path.parts[1:]) for path in found)


@pytest.fixture
def bundles(make_model_folder, make_dataset, tmp_path_factory):
    """Make the folder of bundles once a run: the fixtures that it needs are made anew for every test."""
    folder = tmp_path_factory.getbasetemp() / "android-bundles"
    if not folder.exists():
        make_bundles(folder, make_model_folder, make_dataset)
    return folder


@pytest.mark.android
@pytest.mark.parametrize("name", classes())
def test_the_library(name, project, steps, bundles):
    said = run_tests(project, steps, [RECOMMENDER], bundles, [name])
    assert re.search(r"^OK \(\d+ tests?\)", said, re.MULTILINE), said


def test_samples_of_the_guide_are_compiled():
    sources = [squeezed(path.read_text(encoding="utf-8")) for path in TESTS.glob("*/**/guide/*.*")]
    samples = re.findall(r"```(?:kotlin|java)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(samples) == 3
    for sample in samples:
        assert any(squeezed(sample) in source for source in sources), sample


def squeezed(text):
    """Return a text without indentation and empty lines."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
