"""What execution providers take, as documented: the tables of `provider_ops.toml` and `provider_kernels.toml`.

Nothing here is measured and nothing needs the providers: `odllm check` expects with it, `odllm bench --provider` sees.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native
from onnxruntime.tools import mobile_helpers

_LAST = 2**31 - 1
_INTEGERS = "int16 int32 int64 int8 uint16 uint32 uint64 uint8"
_FLOATS = "bfloat16 double float float16"
_TYPE_SETS = {"FLOATS": _FLOATS, "NUMBERS": f"{_FLOATS} {_INTEGERS}", "ALL": f"{_FLOATS} {_INTEGERS} bool"}


@dataclass(frozen=True)
class Kernel:
    """One registered kernel.

    Attributes:
        first: version of the operator that it was registered for.
        last: last one; 2³¹ − 1 where none is given, and then it serves version `first` only.
        types: what each of the operator's type constraints may be, such as `{"T": {"float", "int64"}}`.
    """

    first: int
    last: int
    types: Mapping[str, frozenset[str]]

    def serves(self, version: int) -> bool:
        """Return whether it is there for this version of the operator (ONNX Runtime's VerifyVersion)."""
        return version == self.first or (self.last != _LAST and self.first <= version <= self.last)


@dataclass(frozen=True)
class Conditions:
    """What a listed operator asks for.

    Attributes:
        note: conditions in words, which are not checked.
        types: of the first input; anything if empty.
        constant: numbers of the inputs that must be constant.
        ranks: ranks that the first inputs may have.
    """

    note: str = ""
    types: tuple[str, ...] = ()
    constant: tuple[int, ...] = ()
    ranks: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Provider:
    """An execution provider as documented.

    Attributes:
        name: by the command line.
        title: by people.
        source: where this is written.
        enters_bodies: whether it takes nodes inside the bodies of Loop and If.
        dynamic_shapes: whether it takes nodes with inputs of dynamic shapes.
        notes: what else is documented, or is not.
        kernels: by operator; empty for providers that compile whole partitions.
        listed: conditions by operator in lower case, for those that compile.
    """

    name: str
    title: str
    source: str
    enters_bodies: bool
    dynamic_shapes: bool
    notes: tuple[str, ...] = ()
    kernels: Mapping[str, Sequence[Kernel]] = field(default_factory=dict)
    listed: Mapping[str, Conditions] = field(default_factory=dict)


@dataclass(frozen=True)
class Schema:
    """An operator at one opset: its version, and the type constraint of each input (the last repeats if variadic)."""

    version: int
    inputs: tuple[tuple[str, str], ...]


@functools.cache
def providers() -> dict[str, Provider]:
    """Return the providers by name."""
    facts = _read_table("provider_ops.toml")
    kernels = _read_table("provider_kernels.toml")
    return {name: _provider(name, entry, kernels.get(name, {})) for name, entry in facts.items()}


def operator_name(domain: str, kind: str) -> str:
    """Return how the tables call an operator: `Add`, `com.microsoft:MatMulNBits`."""
    return kind if domain in ("", "ai.onnx") else f"{domain}:{kind}"


@functools.cache
def schemas(opset: int) -> dict[str, Schema]:
    """Return the operators that the installed runtime knows, at an opset of ai.onnx and version 1 of other domains."""
    found: dict[str, Schema] = {}
    for schema in native.get_all_operator_schema():
        name = operator_name(schema.domain, schema.name)
        limit = opset if ":" not in name else 1
        if schema.since_version > limit or (name in found and found[name].version > schema.since_version):
            continue
        found[name] = Schema(schema.since_version, tuple((one.typeStr, one.name) for one in schema.inputs))
    return found


def _read_table(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _provider(name: str, entry: Mapping[str, Any], kernels: Mapping[str, list[str]]) -> Provider:
    source, listed = entry["source"], {}
    table = {operator: [_kernel(line) for line in lines] for operator, lines in kernels.items()}
    if entry["from"] == "installed":
        table = _installed_kernels()
        source = f"{source}, version {onnxruntime.__version__}"
    elif entry["from"] == "checker":
        listed = _checker_list(entry["checker_file"])
        source = f"{source} (onnxruntime {onnxruntime.__version__})"
    elif entry["from"] == "listed":
        listed = {operator.lower(): Conditions() for operator in entry.get("plain", {}).get("operators", [])}
        listed |= {operator.lower(): _conditions(value) for operator, value in entry["operators"].items()}
    return Provider(
        name=name,
        title=entry["title"],
        source=source,
        enters_bodies=entry["enters_bodies"],
        dynamic_shapes=entry["dynamic_shapes"],
        notes=tuple(entry.get("notes", ())),
        kernels=table,
        listed=listed,
    )


def _kernel(line: str) -> Kernel:
    """Read `13-18 T=float int64 Tind=int32`."""
    version, *words = line.split()
    first, _, last = version.rstrip("+").partition("-")
    end = _LAST if version.endswith("+") else int(last or first)
    types: dict[str, set[str]] = {}
    for word in words:
        if "=" in word:
            constraint, _, word = word.partition("=")
            types[constraint] = set()
        types[constraint].update(_TYPE_SETS.get(word, word).split())
    return Kernel(int(first), end, {key: frozenset(value) for key, value in types.items()})


def _conditions(value: Mapping[str, Any]) -> Conditions:
    return Conditions(
        note=value["note"],
        types=tuple(value.get("types", ())),
        constant=tuple(value.get("constant", ())),
        ranks=tuple(tuple(ranks) for ranks in value.get("ranks", ())),
    )


def _installed_kernels() -> dict[str, list[Kernel]]:
    table: dict[str, list[Kernel]] = {}
    for kernel in native.get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider":
            types = {
                constraint: frozenset(re.sub(r"^tensor\((.*)\)$", r"\1", name) for name in names)
                for constraint, names in kernel.type_constraints.items()
            }
            name = operator_name(kernel.domain, kernel.op_name)
            first, last = kernel.version_range
            table.setdefault(name, []).append(Kernel(first, last, types))
    return table


def _checker_list(file: str) -> dict[str, Conditions]:
    """Read a Markdown table of `domain:operator | caveat`, as the mobile usability checker does."""
    listed = {}
    for line in Path(mobile_helpers.__path__[0], file).read_text(encoding="utf-8").splitlines():
        cells = line.strip().split("|")
        if line.startswith("|") and len(cells) == 4 and ":" in cells[1]:
            domain, _, kind = cells[1].partition(":")
            # One of the lists writes Argmax; operators do not differ by case alone.
            listed[operator_name(domain, kind).lower()] = Conditions(note=re.sub(r"<br ?/?>", " ", cells[2]))
    return listed
