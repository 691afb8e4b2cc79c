"""A matrix of measurements in a file: groups of cells, one after the other, and on with it after an interruption.

settings: {min_seconds: 5}
groups:
- name: precisions                  # the cells of a group are measured side by side
bundles: [dense-fp32, half-int8]  # relative to this file
threads: [1, 2]
- name: providers
bundles: [half-steps]
providers: [cpu, openvino, qnn]
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mobile_bench.cell import Cell, make_cells
from mobile_bench.errors import BenchError
from mobile_bench.host import measure_cells
from mobile_bench.protocol import Settings
from mobile_bench.quality import HeldOutUsers, choose_users
from mobile_bench.results import Failure, Results, read_results, write_results
from odllm_artifact import OdllmError, Progress, partial_folder, sha256_file, silent
from odllm_export.bundle import MANIFEST

SUFFIXES = (".yaml", ".yml")


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cells that are measured side by side: every bundle with every provider and number of threads.

    Attributes:
        name: for messages.
        bundles: folders, relative to the plan's own.
        providers: by the command line's names.
        threads: numbers of threads.
    """

    name: str
    bundles: list[str]
    providers: tuple[str, ...] = ("cpu",)
    threads: tuple[int, ...] = (1,)


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be measured, and for how long.

    Attributes:
        groups: in their order.
        settings: how long.
        dataset: folder of held-out users, relative to the plan's own; none if not given.
        users: how many of them.
    """

    groups: list[Group]
    settings: Settings = Settings()
    dataset: str | None = None
    users: int = 500


@dataclass(frozen=True)
class _Prepared:
    """A group that can start: its cells, and those that cannot be made."""

    name: str
    cells: list[Cell]
    failures: list[Failure]

    def key(self, settings: Settings) -> str:
        """Name of what it measured: the same bundles, providers, threads and settings give the same."""
        facts = [(c.name, sha256_file(c.folder / MANIFEST), c.target.key, c.users) for c in self.cells]
        return hashlib.sha256(msgspec.json.encode((facts, self.failures, settings))).hexdigest()[:16]


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        BenchError: the file cannot be read, is not YAML, or says something that no plan says.
    """
    try:
        plan = msgspec.yaml.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BenchError(f"{path} is no plan of measurements: {' '.join(str(error).split())}") from error
    if not plan.groups:
        raise BenchError(f"{path} has no groups; at least one is needed")
    names = [group.name for group in plan.groups]
    if len(set(names)) < len(names):
        raise BenchError(f"{path} has two groups of one name: {', '.join(names)}")
    return plan


def run_plan(path: Path, out: Path, *, progress: Progress = silent) -> Results:
    """Measure the groups of a plan one after the other and write all records to the file `out`.

    A bundle that is damaged or a provider that is not there is a failed cell; the others are measured. Each finished
    group stands in `OUT.partial`, and the same command goes on with the next.

    Raises:
        BenchError: the plan cannot be read.
        LcrecError: its dataset is damaged.
        ArtifactError: `out` is in the way.
    """
    plan, folder = read_plan(path), path.absolute().parent
    users = None if plan.dataset is None else choose_users(folder / plan.dataset, plan.users)
    groups = [_prepare(group, folder, users) for group in plan.groups]
    kept = partial_folder(out)
    found = []
    for number, group in enumerate(groups):
        file = kept / f"{group.key(plan.settings)}.json"
        if file.is_file():
            found.append(read_results(file))
        else:
            results = measure_cells(group.cells, plan.settings, _part(progress, number, len(groups), group.name))
            results = msgspec.structs.replace(results, failures=[*group.failures, *results.failures])
            write_results(results, file)
            found.append(results)
    together = Results(
        records=[record for one in found for record in one.records],
        failures=[failure for one in found for failure in one.failures],
    )
    write_results(together, out)
    for file in kept.glob("*.json"):
        file.unlink()
    kept.rmdir()
    return together


def _prepare(group: Group, folder: Path, users: HeldOutUsers | None) -> _Prepared:
    cells: list[Cell] = []
    failures: list[Failure] = []
    for bundle in group.bundles:
        for provider in group.providers:
            try:
                cells += make_cells([folder / bundle], [provider], group.threads, users=users)
            except OdllmError as error:
                failures += [Failure.of(folder / bundle, provider, count, str(error)) for count in group.threads]
    return _Prepared(group.name, cells, failures)


def _part(progress: Progress, number: int, groups: int, name: str) -> Progress:
    """Return a group's progress within the whole plan's: groups count alike, whatever they take."""

    def report(done: float, total: float, note: str = "") -> None:
        progress(number + (done / total if total else 0.0), groups, f"{name}: {note}")

    return report


def is_plan(paths: Sequence[Path]) -> bool:
    """Return whether what was named to be measured is a plan."""
    return len(paths) == 1 and paths[0].suffix in SUFFIXES
