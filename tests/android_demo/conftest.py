"""What tests of the built app share: the build, made once, where its packages were fetched."""

import pytest

from android_demo.tools.build import build
from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.packages import EVERY_PACKAGE, is_fetched
from android_demo.tools.project import OUTPUTS, Project
from android_demo.tools.settings import read_settings
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import require_jdk


@pytest.fixture(scope="session")
def project():
    return Project()


@pytest.fixture(scope="session")
def settings(project):
    return read_settings(project)


@pytest.fixture(scope="session")
def steps():
    """Steps of the build, or a skip where it cannot run."""
    if not is_fetched(EVERY_PACKAGE):
        pytest.skip("the build's packages were not fetched: `make test-android` does it")
    try:
        require_jdk()
    except AndroidBuildError as error:
        pytest.skip(str(error))
    return Steps(OUTPUTS, report=lambda _: None)


@pytest.fixture(scope="session")
def built(project, steps):
    return build(project, steps)
