"""A measuring process on this host, in Python: ours, or that of a provider's environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mobile_bench import foreign
from mobile_bench.line_process import LineProcess

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment of every measured process: thread pools beside the runtime's own stay at one thread."""


class WorkerProcess(LineProcess):
    """One fresh Python process that answers requests; ended when the `with` block ends, however it ends.

    Args:
        name: what messages call it.
        module: that it runs.
        python: that runs it; of another environment, it still runs our own code.
        environment: variables beside this process's own.
    """

    def __init__(
        self,
        name: str,
        *,
        module: str = "mobile_bench.worker",
        python: Path | None = None,
        environment: Mapping[str, str] = {},
    ) -> None:
        own = {**_inherited(python), **ONE_THREAD, "ORT_DISABLE_TELEMETRY": "1", **environment}
        super().__init__(name, _command(module, python), own)


def _is_ours(python: Path | None) -> bool:
    return python is None or python == Path(sys.executable)


def _command(module: str, python: Path | None) -> list[str]:
    if _is_ours(python):
        return [sys.executable, "-m", module]
    return [str(python), "-P", foreign.__file__, module]


def _inherited(python: Path | None) -> dict[str, str]:
    """Return this process's variables, without those that would lead another environment to our packages."""
    if _is_ours(python):
        return dict(os.environ)
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
