"""Runs one of our modules in another Python environment: `python -P foreign.py MODULE`.

An environment of an execution provider holds its onnxruntime and a few small packages; our own code comes from where
this file lies, whatever else lies there. Run as a script, so that it imports nothing of ours before that is possible.
"""

import importlib.machinery
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_FOLDER = Path(__file__).resolve().parent.parent
_OURS = ("lcrec", "mobile_bench", "odllm_artifact", "odllm_export")


class _OurPackages:
    """Finds our packages beside this file, and nothing else there: another onnxruntime may lie there, too."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where a top-level package of ours is."""
        if name not in _OURS:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [str(_FOLDER)], target)


if __name__ == "__main__":
    sys.meta_path.insert(0, _OurPackages)
    del sys.argv[0]  # the module sees its own name there, and its arguments behind it
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
