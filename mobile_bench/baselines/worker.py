"""The process of one row: loads it, times rounds, hands out its lists. `python -m mobile_bench.baselines.worker`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mobile_bench import protocol
from mobile_bench.baselines.flops import recommendation_flops
from mobile_bench.baselines.runners import (
    BundleRunner,
    Runner,
    SessionRunner,
    SgemmRunner,
    TorchSearchRunner,
    TransformersRunner,
)
from mobile_bench.baselines.workload import Workload, find_shape
from mobile_bench.errors import BenchError
from mobile_bench.memory import peak_resident_bytes
from mobile_bench.serving import serve, time_round, warm_up


class OpenRow(msgspec.Struct, frozen=True, tag_field="do", tag="open_row"):
    """Load a row and answer its first history.

    Attributes:
        kind: `transformers`, `torch`, `bundle`, `session` or `sgemm`.
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
    """Answer to `ListRows`: item rows and scores a history, the process's peak memory so far, and operations a call.

    `flops` is 0 for rows that do not count them.
    """

    rows: list[list[int]]
    scores: list[list[float]]
    peak_memory_bytes: int
    flops: float = 0.0


class _Row:
    """A loaded runner and the number of its questions."""

    def __init__(self, request: OpenRow) -> None:
        self.runner = _runner(request)
        self.histories = len(request.histories)
        self.shape = request.shape

    def call(self, number: int) -> None:
        self.runner.ranked(number % self.histories)

    def flops(self) -> float:
        """Return the floating-point operations of one call, the mean over the histories; 0 where not counted."""
        if isinstance(self.runner, SgemmRunner):
            return float(SgemmRunner.FLOPS)
        if not isinstance(self.runner, BundleRunner):
            return 0.0
        recommender, intermediate = self.runner.recommender, find_shape(self.shape).intermediate
        total = 0.0
        for history in self.runner.histories:
            (tokens_run,) = recommender.run(history, None, ["tokens_run"], {})
            prompt = recommender.manifest.prompt.length(len(history))
            total += recommendation_flops(recommender.manifest, intermediate, prompt, int(tokens_run.numpy()[0]))
        return total / len(self.runner.histories)


class RowSession:
    """What the process remembers between requests: its row."""

    def __init__(self) -> None:
        self.row: _Row | None = None

    def answer(self, request: OpenRow | protocol.Round | ListRows) -> msgspec.Struct:
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
        answers = [self.row.runner.ranked(number) for number in range(self.row.histories)]
        return Lists(
            [rows.tolist() for rows, _ in answers],
            [scores.tolist() for _, scores in answers],
            peak_resident_bytes(),
            self.row.flops(),
        )


def _runner(request: OpenRow) -> Runner:
    folder = Path(request.folder)
    if request.kind == "bundle":
        return BundleRunner(folder, request.histories)
    if request.kind == "session":
        return SessionRunner(folder, request.histories)
    if request.kind == "sgemm":
        return SgemmRunner()
    workload = Workload(find_shape(request.shape), len(request.histories))
    if request.kind == "transformers":
        return TransformersRunner(folder, workload)
    if request.kind == "torch":
        return TorchSearchRunner(folder, workload, request.scoring)
    raise BenchError(f"rows of kind {request.kind!r} are not known")


if __name__ == "__main__":
    serve(RowSession().answer, OpenRow | protocol.Round | ListRows)
