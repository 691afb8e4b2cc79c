"""Python environments of the stacks that cannot be installed beside ours: where they are, or what is missing.

An environment is made by a target of the Makefile. It may lie elsewhere: the stack's variable names its folder then.
"""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import msgspec

_CHECKOUT = Path(__file__).resolve().parents[2]
_MARKER = ".installed"
"""What the Makefile leaves in an environment that is whole."""


class Stack(msgspec.Struct, frozen=True):
    """An environment.

    Attributes:
        variable: that names its folder.
        folder: beside our packages, where the variable is not set.
        target: of the Makefile, that makes it.
        packages: whose versions are recorded with the results.
    """

    variable: str
    folder: str
    target: str
    packages: tuple[str, ...]


STACKS: dict[str, Stack] = {
    "optimum": Stack("ODLLM_INTEROP", ".venv-interop", "interop", ("optimum-onnx", "transformers", "onnxruntime")),
    "llama.cpp": Stack("ODLLM_LLAMA_CPP", ".venv-llama-cpp", "llama-cpp", ("llama-cpp-python", "numpy")),
}
"""The environments by name."""


class FoundStack(msgspec.Struct, frozen=True):
    """Where a stack is, or why it is not.

    Attributes:
        python: of the environment; empty where there is none.
        missing: what is missing and how to get it; empty where nothing is.
        versions: of its packages, as `STACK: PACKAGE`.
    """

    python: str = ""
    missing: str = ""
    versions: dict[str, str] = {}


def find_stack(name: str) -> FoundStack:
    """Return where the environment of a stack is, or why it cannot be used."""
    stack = STACKS[name]
    named = os.environ.get(stack.variable)
    folder = Path(named).absolute() if named else _CHECKOUT / stack.folder
    where = f"${stack.variable}" if named else stack.folder
    if not (folder / _MARKER).is_file() or not (folder / "bin" / "python").exists():
        return FoundStack(missing=f"no {where}: make {stack.target}")
    try:
        return FoundStack(str(folder / "bin" / "python"), versions=_versions(name, folder))
    except importlib.metadata.PackageNotFoundError as error:
        return FoundStack(missing=f"{where} lacks {error.args[0]}: make {stack.target}")


def _versions(name: str, folder: Path) -> dict[str, str]:
    paths = [str(path) for path in folder.glob("lib/python*/site-packages")]
    found = {one.name.lower().replace("_", "-"): one.version for one in importlib.metadata.distributions(path=paths)}
    for package in STACKS[name].packages:
        if package not in found:
            raise importlib.metadata.PackageNotFoundError(package)
    return {f"{name}: {package}": found[package] for package in STACKS[name].packages}
