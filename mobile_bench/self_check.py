"""Is the benchmark itself to be trusted? `python -m mobile_bench.self_check BUNDLE`.

Three questions, on the machine and the bundle that are there: what the harness adds to a call; whether it calls a
bundle and its own copy equal, side by side and in two runs; whether it notices a bundle that does a tenth more work.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from mobile_bench import protocol
from mobile_bench.cell import make_cells
from mobile_bench.host import measure, require_records
from mobile_bench.protocol import Settings
from mobile_bench.results import Results
from mobile_bench.serving import Callee, time_round
from mobile_bench.slower_bundle import add_idle_work
from mobile_bench.statistics import median_interval
from mobile_bench.verdict import Comparison, compare_results, compare_with_first
from mobile_bench.worker import OpenedBundle
from odllm_artifact import OdllmError

_ROUNDS = 40
_ROUND_SECONDS = 0.1
_CALIBRATION_PRODUCTS = 64


class SelfCheck(msgspec.Struct, frozen=True):
    """What the check found.

    Attributes:
        call_ms: processor time of a bare call, median.
        overhead_share: what timing adds to it, as a share of the call: median over alternating rounds.
        overhead_low: lower end of that median's 95 % bootstrap interval.
        overhead_high: upper end of it.
        empty_call_us: recorded processor time of a call of nothing: what the harness can add at all.
        side_by_side: a bundle and its copy in one run.
        in_two_runs: the bundle in another run against the first.
        slower: a bundle with more work in it against itself, in one run.
        work_added: that work, as a share of a call.
    """

    call_ms: float
    overhead_share: float
    overhead_low: float
    overhead_high: float
    empty_call_us: float
    side_by_side: Comparison
    in_two_runs: Comparison
    slower: Comparison
    work_added: float


def self_check(bundle: Path, *, more_work: float = 0.10, settings: Settings | None = None) -> SelfCheck:
    """Return what the harness costs and what it notices.

    Args:
        bundle: of form `loop` or `unrolled`, with golden lists or without.
        more_work: share of a call that the slower bundle takes longer.
        settings: of the runs; the defaults if not given.
    """
    settings = settings or Settings()
    with tempfile.TemporaryDirectory(prefix="odllm-self-check-") as scratch:
        copy, slower = Path(scratch) / "copy", Path(scratch) / "slower"
        shutil.copytree(bundle, copy)
        one_run = measure([bundle, copy], settings=settings)
        other_run = measure([bundle], settings=settings)
        call_ms, shares = _overhead(_open(bundle))
        work_ms = add_work(bundle, slower, more_work * call_ms)
        slow_run = measure([bundle, slower], settings=settings)
    low, high = median_interval(shares)
    return SelfCheck(
        call_ms=call_ms,
        overhead_share=float(np.median(shares)),
        overhead_low=low,
        overhead_high=high,
        empty_call_us=1000 * _recorded_ms(_Nothing(), 10_000),
        side_by_side=_only(compare_with_first(one_run, "cpu")),
        in_two_runs=_only(compare_results(other_run, _first(one_run), "cpu")),
        slower=_only(compare_with_first(slow_run, "cpu")),
        work_added=work_ms / call_ms,
    )


def add_work(bundle: Path, out: Path, wanted_ms: float) -> float:
    """Write a copy of a bundle that takes `wanted_ms` longer, and return by how much it does by a trial."""
    with tempfile.TemporaryDirectory(prefix="odllm-self-check-") as scratch:
        trial = Path(scratch) / "trial"
        add_idle_work(bundle, trial, _CALIBRATION_PRODUCTS)
        product_ms = _difference_ms(_open(bundle), _open(trial)) / _CALIBRATION_PRODUCTS
    products = max(1, round(wanted_ms / max(product_ms, 1e-6)))
    add_idle_work(bundle, out, products)
    return products * product_ms


class _Nothing:
    """Answers every question at once."""

    def call(self, number: int) -> None:
        """Do nothing."""


def _open(bundle: Path) -> OpenedBundle:
    (cell,) = make_cells([bundle], ["cpu"], [1])
    opened = OpenedBundle(protocol.Open(*cell.opening))
    for number in range(len(opened.histories)):
        opened.call(number)
    return opened


def _overhead(opened: OpenedBundle) -> tuple[float, list[float]]:
    """Return a bare call's processor time, and by which share recorded calls took longer, round by round."""
    calls = max(len(opened.histories), round(1000 * _ROUND_SECONDS / _bare_ms(opened, 20)))
    bare, shares = [], []
    for number in range(_ROUNDS):
        order = (_bare_ms, _recorded_ms) if number % 2 else (_recorded_ms, _bare_ms)
        found = {run: run(opened, calls) for run in order}
        bare.append(found[_bare_ms])
        shares.append(found[_recorded_ms] / found[_bare_ms] - 1)
    return float(np.median(bare)), shares


def _difference_ms(one: OpenedBundle, other: OpenedBundle) -> float:
    """Return how much longer a call of the other takes, by processor time, median over alternating rounds."""
    calls = len(one.histories)
    differences = []
    for number in range(_ROUNDS):
        if number % 2:
            ours, theirs = _bare_ms(one, calls), _bare_ms(other, calls)
        else:
            theirs, ours = _bare_ms(other, calls), _bare_ms(one, calls)
        differences.append(theirs - ours)
    return float(np.median(differences))


def _bare_ms(callee: Callee, calls: int) -> float:
    """Return a call's processor time as a loop around nothing but calls shows it."""
    started = time.process_time_ns()
    for number in range(calls):
        callee.call(number)
    return (time.process_time_ns() - started) / 1e6 / calls


def _recorded_ms(callee: Callee, calls: int) -> float:
    """Return a call's processor time as a record holds it."""
    return sum(time_round(callee, protocol.Round(0, calls)).cpu_ms) / calls


def _first(results: Results) -> Results:
    return msgspec.structs.replace(results, records=require_records(results)[:1])


def _only(comparisons: list[Comparison]) -> Comparison:
    (comparison,) = comparisons
    return comparison


def _print(found: SelfCheck) -> None:
    share, low, high = (100 * value for value in (found.overhead_share, found.overhead_low, found.overhead_high))
    nothing = found.empty_call_us / found.call_ms / 10
    print(f"a call takes {found.call_ms:.3f} ms of processor time; what is recorded of it is {share:+.2f} % off")
    print(f"({low:+.2f} to {high:+.2f}); a call of nothing is {found.empty_call_us:.2f} µs, {nothing:.2f} % of a call")
    for what, one in (
        ("its copy, side by side", found.side_by_side),
        ("itself, in another run", found.in_two_runs),
        (f"with {found.work_added:.1%} more work, side by side", found.slower),
    ):
        print(f"{what}: {one.verdict}, {one.ratio:.3f} ({one.low:.3f} to {one.high:.3f}) of the time")


def main() -> None:
    """Check the harness with one bundle, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="bundle of form loop or unrolled")
    parser.add_argument("--more-work", type=float, default=0.10, help="share of a call that the slower bundle adds")
    asked = parser.parse_args()
    try:
        _print(self_check(asked.bundle, more_work=asked.more_work))
    except OdllmError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
