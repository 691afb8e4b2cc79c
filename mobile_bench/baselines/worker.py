"""The process of one row: loads it, times rounds, hands out its lists. `python -m mobile_bench.baselines.worker`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mobile_bench import protocol
from mobile_bench.baselines.flops import Work, mean_work
from mobile_bench.baselines.runners import (
    Ranked,
    Runner,
    optimum_runner,
    torch_runner,
    transformers_runner,
)
from mobile_bench.baselines.workload import Workload, find_shape
from mobile_bench.errors import BenchError
from mobile_bench.memory import peak_resident_bytes
from mobile_bench.serving import serve, time_round, warm_up


class OpenRow(msgspec.Struct, frozen=True, tag_field="do", tag="open_row"):
    """Load a row and answer its first history.

    Attributes:
        kind: of runner, as `rows.RowSpec` names it.
        folder: of the model or bundle.
        scoring: `vocab` or `codes`.
        shape: name of the workload's shape.
        histories: item rows, as the workload draws them.
    """

    kind: str
    folder: str
    scoring: str
    shape: str
    histories: list[list[int]]


class ListRows(msgspec.Struct, frozen=True, tag_field="do", tag="list_rows"):
    """Answer every history once, untimed."""


class Lists(msgspec.Struct, frozen=True):
    """Answer to `ListRows`: item rows and scores a history, and the process's peak memory so far."""

    rows: list[list[int]]
    scores: list[list[float]]
    peak_memory_bytes: int


class CountWork(msgspec.Struct, frozen=True, tag_field="do", tag="count_work"):
    """Say what a call computes and moves, the mean over the histories. Answered with `flops.Work`."""


class _Row:
    """A loaded runner, and what it answered when it was timed."""

    def __init__(self, request: OpenRow) -> None:
        self.runner = open_runner(request)
        self.histories = len(request.histories)
        self.answers: dict[int, Ranked] = {}

    def call(self, number: int) -> None:
        self.answers[number % self.histories] = self.runner.ranked(number % self.histories)

    def lists(self) -> Lists:
        for number in range(self.histories):
            if number not in self.answers:
                self.call(number)
        found = [self.answers[number] for number in range(self.histories)]
        rows, scores = [rows.tolist() for rows, _ in found], [scores.tolist() for _, scores in found]
        return Lists(rows, scores, peak_resident_bytes())

    def work(self) -> Work:
        return mean_work([self.runner.work(number) for number in range(self.histories)])


class RowSession:
    """What the process remembers between requests: its row."""

    def __init__(self) -> None:
        self.row: _Row | None = None

    def answer(self, request: OpenRow | protocol.Round | ListRows | CountWork) -> msgspec.Struct:
        """Carry out one request.

        Raises:
            BenchError: the first request was not to open a row, or the row is of an unknown kind.
        """
        if isinstance(request, OpenRow):
            self.row = _Row(request)
            return warm_up(self.row, 1)
        if self.row is None:
            raise BenchError(f"a {type(request).__name__} was asked for before a row was opened")
        if isinstance(request, protocol.Round):
            return time_round(self.row, request)
        return self.row.lists() if isinstance(request, ListRows) else self.row.work()


def open_runner(request: OpenRow) -> Runner:
    """Load what a row asks; every stack is imported by the rows that need it only.

    Raises:
        BenchError: the row is of an unknown kind.
    """
    match request.kind:
        case "bundle" | "session":
            return _bundle_runner(request)
        case "sgemm" | "int8-products":
            from mobile_bench.baselines.peaks import ProductRunner

            return ProductRunner(integer=request.kind == "int8-products")
        case "memory-read":
            from mobile_bench.baselines.peaks import MemoryRunner

            return MemoryRunner()
    return _model_runner(request)


def _bundle_runner(request: OpenRow) -> Runner:
    from mobile_bench.baselines.bundle_runners import BundleRunner, SessionRunner

    kind = SessionRunner if request.kind == "session" else BundleRunner
    return kind(Path(request.folder), request.histories, find_shape(request.shape).intermediate)


def _model_runner(request: OpenRow) -> Runner:
    folder, workload = Path(request.folder), Workload(find_shape(request.shape), len(request.histories))
    match request.kind:
        case "transformers":
            return transformers_runner(folder, workload)
        case "optimum":
            return optimum_runner(folder, workload)
        case "torch":
            return torch_runner(folder, workload, request.scoring)
        case "llama.cpp":
            from mobile_bench.baselines.llama_cpp import LlamaCppRunner

            return LlamaCppRunner(folder, workload, request.scoring, folder.name.rpartition("-")[2])
    raise BenchError(f"rows of kind {request.kind!r} are not known")


if __name__ == "__main__":
    serve(RowSession().answer, OpenRow | protocol.Round | ListRows | CountWork)
