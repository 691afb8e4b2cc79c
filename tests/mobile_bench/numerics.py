"""Do a bundle's lists depend on the processor? Held against this one's, under emulated ones.

    python tests/mobile_bench/loopback_packages.py     # the emulator and the runtime, once
    python tests/mobile_bench/numerics.py BUNDLE … --cpu cortex-a53,cortex-a76,neoverse-n1 --android onnxruntime.aar

The native runner and ONNX Runtime's library for arm64 Linux run under qemu, which shows the library the named
processor: it takes other kernels for each. With `--android` the libraries of an Android archive run, too, under glibc
(`android_demo/tools/android_library.py`): on this processor and on an emulated Cortex-A76, on the CPU and on XNNPACK.
Prints one Markdown row a bundle and processor. No time is taken.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import loopback_packages
import native_kits

from android_demo.tools import android_library
from mobile_bench import protocol
from mobile_bench.cell import Cell, make_cells
from mobile_bench.line_process import LineProcess
from mobile_bench.phone.native_process import runner_arguments
from mobile_bench.placement import PRODUCTS
from mobile_bench.protocol import InspectReply, Question, RankedList
from mobile_bench.questions import choose_questions
from mobile_bench.target import Worker
from odllm_export.providers import find_provider

_TIMEOUT_S = 1800.0
_ANDROID_CPU = "cortex-a76"
HEADER = "| bundle | runs on | lists | equal | items shared | largest score difference |\n|---|---|---|---|---|---|"


def emulated_worker(cpu: str, library: Path | None = None) -> Worker:
    """Start the arm64 runner under the emulator, as a named processor, with a library of the runtime."""
    kit = native_kits.loopback_kit()
    library = library or kit.library
    emulator = [str(loopback_packages.emulator()), "-cpu", cpu, "-L", str(loopback_packages.device_files())]
    emulator += ["-E", f"LD_LIBRARY_PATH={library.parent}"]
    return LineProcess(cpu, [*emulator, str(kit.runner), *runner_arguments(str(library))], os.environ)


def native_worker(library: Path) -> Worker:
    """Start the runner on this processor with a library of the runtime."""
    kit = native_kits.host_kit()
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
    return LineProcess("here", [str(kit.runner), *runner_arguments(str(library))], environment)


class Rows:
    """Prints a bundle's rows."""

    def __init__(self, cell: Cell, cases: int) -> None:
        self._cell = cell
        self._questions = choose_questions(cell.folder, cell.manifest, None, most_golden=cases).asked
        self._here = ask(cell.start_worker(), cell, "cpu", self._questions)

    def add(self, where: str, worker: Worker, provider: str = "cpu") -> None:
        """Print how a worker's lists compare with this processor's."""
        found = ask(worker, self._cell, provider, self._questions)
        name, products = find_provider(provider).runtime_name, ""
        if provider != "cpu":
            taken = sum(node[2] == name and node[1] in PRODUCTS for node in found.nodes)
            every = sum(node[1] in PRODUCTS for node in self._here.nodes)
            products = f", {taken} of {every} products"
        print(row(self._cell.folder.name, where + products, found.answers, self._here.answers), flush=True)


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
    parser.add_argument("--android", type=Path, help="onnxruntime-android.aar, to run its libraries, too")
    arguments = parser.parse_args()
    print(HEADER)
    with tempfile.TemporaryDirectory(prefix="odllm-android-") as scratch:
        libraries = {
            abi: android_library.unpack(arguments.android, abi, Path(scratch) / abi)
            for abi in ("x86_64", "arm64-v8a")
            if arguments.android is not None
        }
        for cell in make_cells(arguments.bundles, ["cpu"], [1]):
            rows = Rows(cell, arguments.cases)
            for cpu in filter(None, arguments.cpu.split(",")):
                rows.add(f"{cpu}, Linux build", emulated_worker(cpu))
            for provider in ("cpu", "xnnpack") if libraries else ():
                name = {"cpu": "CPU", "xnnpack": "XNNPACK"}[provider]
                rows.add(f"this processor, Android build, {name}", native_worker(libraries["x86_64"]), provider)
                emulated = emulated_worker(_ANDROID_CPU, libraries["arm64-v8a"])
                rows.add(f"{_ANDROID_CPU}, Android build, {name}", emulated, provider)


if __name__ == "__main__":
    main()
