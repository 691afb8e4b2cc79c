"""Do a bundle's lists depend on the processor? Held against this one's, under emulated ones.

    python tests/mobile_bench/loopback_packages.py     # the emulator and the runtime, once
    python tests/mobile_bench/numerics.py BUNDLE … --cpu cortex-a53,cortex-a76,neoverse-n1

The native runner and ONNX Runtime's library for arm64 Linux run under qemu, which shows the library the named
processor: it takes other kernels for each. Prints one Markdown row a bundle and processor. No time is taken.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import loopback_packages
import native_kits

from mobile_bench import protocol
from mobile_bench.cell import Cell, make_cells
from mobile_bench.line_process import LineProcess
from mobile_bench.native_process import runner_arguments
from mobile_bench.protocol import InspectReply, Question, RankedList
from mobile_bench.questions import choose_questions
from mobile_bench.target import Worker

_TIMEOUT_S = 1800.0
HEADER = "| bundle | runs on | lists | equal | items shared | largest score difference |\n|---|---|---|---|---|---|"


def emulated_worker(cpu: str) -> Worker:
    """Start the arm64 runner under the emulator, as a named processor."""
    kit = native_kits.loopback_kit()
    emulator = [str(loopback_packages.emulator()), "-cpu", cpu, "-L", str(loopback_packages.device_files())]
    return LineProcess(cpu, [*emulator, str(kit.runner), *runner_arguments(str(kit.library))], os.environ)


def ask(worker: Worker, cell: Cell, provider: str, questions: list[Question]) -> InspectReply:
    """Return what a worker answers and where its nodes ran."""
    with worker:
        bundle, _, threads, histories = cell.opening
        request = protocol.Inspect(bundle, provider, threads, histories, questions)
        return worker.ask(request, InspectReply, timeout_s=_TIMEOUT_S)


def row(bundle: str, where: str, found: Sequence[RankedList], expected: Sequence[RankedList]) -> str:
    """Return one row: how lists compare with those of this processor."""
    pairs = list(zip(found, expected, strict=True))
    equal = sum(one.items == other.items for one, other in pairs)
    shared = [len(set(one.items) & set(other.items)) / len(other.items) for one, other in pairs]
    differences = []
    for one, other in pairs:
        scores = dict(zip(other.items, other.scores, strict=True))
        differences += [
            abs(score - scores[item]) for item, score in zip(one.items, one.scores, strict=True) if item in scores
        ]
    return f"| {bundle} | {where} | {len(pairs)} | {equal} | {sum(shared) / len(shared):.1%} | {max(differences):.1e} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Lists of bundles on emulated arm64 processors, held against this one."
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--cpu", default="cortex-a53,cortex-a76,neoverse-n1", help="qemu's names of processors")
    parser.add_argument("--cases", type=int, default=16, help="golden histories to ask about")
    arguments = parser.parse_args()
    print(HEADER)
    for cell in make_cells(arguments.bundles, ["cpu"], [1]):
        questions = choose_questions(cell.folder, cell.manifest, None, most_golden=arguments.cases).asked
        expected = ask(cell.start_worker(), cell, "cpu", questions)
        for cpu in arguments.cpu.split(","):
            found = ask(emulated_worker(cpu), cell, "cpu", questions)
            print(row(cell.folder.name, cpu, found.answers, expected.answers), flush=True)


if __name__ == "__main__":
    main()
