"""Exports a benchmark model as a user of optimum does, in optimum's environment.

`python -P foreign.py mobile_bench.baselines.optimum_job MODEL OUT`
"""

from __future__ import annotations

import sys
from pathlib import Path

from odllm_artifact import write_folder


def export(model: Path, out: Path) -> None:
    """Write optimum's graph of a model folder, with its cache of keys and values, replacing what is there."""
    from optimum.exporters.onnx import main_export

    with write_folder(out, overwrite=True) as folder:
        main_export(str(model), folder, task="text-generation-with-past", do_validation=False)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
