"""Nothing leaves the device: the runtime is loaded without its telemetry."""

import os
import subprocess
import sys

import pytest


def files_after_import(module, home):
    """Import a module in a process that nothing marks as a test or a CI run, and return the files it left behind."""
    quiet = ("CI", "PYTEST", "GITHUB", "BUILD", "TF_", "ORT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(quiet)}
    environment |= {"HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home)}
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=environment)
    return [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "module", ["odllm_export.runtime", "odllm_export.session", "mobile_bench.device", "mobile_bench.worker"]
)
def test_the_runtime_leaves_no_identifier_behind(tmp_path, module):
    assert files_after_import(module, tmp_path) == []
