"""The app's own tests, on this machine's JVM with the Android build of ONNX Runtime (the library's: another file)."""

import re

import pytest

from android_demo.tools.errors import ToolError
from android_demo.tools.jvm_tests import run_tests
from android_demo.tools.modules import APP, RECOMMENDER
from odllm_export.export import ExportOptions, export_bundle

pytestmark = [pytest.mark.android, pytest.mark.timeout(900)]


def test_the_app(project, steps, make_model_folder, make_dataset, tmp_path):
    model, _ = make_model_folder()
    export_bundle(model, make_dataset(), tmp_path / "bundles" / "loop", ExportOptions(num_beams=12, top_k=5))
    said = run_tests(project, steps, [APP], tmp_path / "bundles")
    assert re.search(r"^OK \(\d+ tests\)", said, re.MULTILINE), said


def test_failing_junit_test_is_told_with_junits_words(project, steps):
    with pytest.raises(ToolError, match=r"(?s)tests of :recommender: .*Could not find class .*org\.odllm\.NoSuchTest"):
        run_tests(project, steps, [RECOMMENDER], None, ["org.odllm.NoSuchTest"])
