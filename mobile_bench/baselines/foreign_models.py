"""The benchmark's model as other stacks want it: written once in their environments, and kept."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import msgspec

from mobile_bench import foreign
from mobile_bench.baselines.models import BUILD_FILE
from mobile_bench.baselines.rows import ForeignSpec
from mobile_bench.baselines.stacks import FoundStack
from mobile_bench.errors import WorkerError
from mobile_bench.worker_process import ONE_THREAD
from odllm_artifact import read_json, sha256_file, write_json

TIMEOUT_S = 900.0
_KEPT_SUFFIX = ".foreign.json"


def ensure_foreign_model(out: Path, name: str, spec: ForeignSpec, stack: FoundStack) -> None:
    """Write a model for another stack, unless it stands there, of this model and by this stack.

    Args:
        out: folder of everything that the benchmark makes.
        name: of the folder in it.
        spec: what to write.
        stack: that writes it.

    Raises:
        WorkerError: it cannot be written.
    """
    kept = out / (name + _KEPT_SUFFIX)
    made_from = {
        "build": read_json(out / spec.model / BUILD_FILE),
        "spec": msgspec.to_builtins(spec),
        "source": sha256_file(_source(spec.job)),
        "versions": stack.versions,
    }
    if kept.is_file() and (out / name).is_dir() and read_json(kept) == made_from:
        return
    command = [stack.python, "-P", foreign.__file__, spec.job, str(out / spec.model), str(out / name), *spec.arguments]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= ONE_THREAD
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment)
    if done.returncode:
        raise WorkerError(f"writing {name} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    write_json(kept, made_from)


def _source(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise WorkerError(f"there is no module {module}")
    return Path(spec.origin)
