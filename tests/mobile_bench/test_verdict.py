import csv
import io
import json

import msgspec
import numpy as np
import pytest
from bench_samples import record, timing
from hypothesis import given
from hypothesis import strategies as st

from mobile_bench.compare import table_rows
from mobile_bench.errors import ComparisonError
from mobile_bench.printers import PRINTERS, sentence
from mobile_bench.record import Record
from mobile_bench.results import Results
from mobile_bench.verdict import Comparison, compare, compare_results, compare_with_first, judge_ratio


def noisy(scale: float, *, seed: int, name: str = "dense", run: str, rounds: int = 20) -> Record:
    """Two histories, the second three times as long, asked by turns; 2 % of noise a call."""
    random = np.random.default_rng(seed)
    samples = scale * np.tile([10.0, 30.0], 3 * rounds) * (1 + 0.02 * random.standard_normal(6 * rounds))
    return record(timing(samples.tolist(), calls=6), name=name, run=run)


@pytest.mark.parametrize("seed", range(5))
def test_two_runs_of_one_bundle_are_equal_and_a_slower_one_is_slower(seed: int) -> None:
    one, again = noisy(1.0, seed=seed, run="a"), noisy(1.02, seed=100 + seed, run="b")
    found = compare(again, one)
    assert (found.verdict, found.paired_by) == ("equal", "histories")
    slower = noisy(1.1, seed=200 + seed, run="c")
    assert compare(slower, one).verdict == "slower"
    assert compare(one, slower).verdict == "faster"
    assert compare(slower, one).ratio == pytest.approx(1.1, abs=0.02)


def test_which_histories_a_run_met_does_not_matter() -> None:
    whole = record(timing([10.0, 30.0, 10.0, 30.0], calls=2), run="a")
    ended_early = record(timing([10.0, 30.0, 10.0], calls=1), run="b")
    assert compare(ended_early, whole).ratio == 1.0


def test_cells_of_one_run_are_paired_by_rounds() -> None:
    drifting = [10.0, 20.0, 40.0, 80.0]
    one, other = record(timing([2 * time for time in drifting]), name="slow"), record(timing(drifting))
    found = compare(one, other)
    assert (found.ratio, found.paired_by, found.verdict) == (2.0, "rounds", "slower")


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict"),
    [
        (1.03, 1.01, 1.05, "equal"),  # beyond chance, and too small to matter
        (1.08, 1.02, 1.2, "slower"),
        (0.9, 0.8, 0.99, "faster"),
        (1.08, 0.98, 1.2, "unclear"),
        (1.0, 0.8, 1.2, "unclear"),
    ],
)
def test_verdicts(ratio: float, low: float, high: float, verdict: str) -> None:
    assert judge_ratio(ratio, low, high) == verdict


@given(st.floats(0.5, 2), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_turned_round_a_verdict_turns_round(ratio: float, below: float, above: float) -> None:
    turned = {"faster": "slower", "slower": "faster"}
    low, high = ratio * (1 - below), ratio * (1 + above)
    edges = (1, 1.05, 1 / 1.05, 1.1, 1 / 1.1)
    if min(abs(value - edge) for value in (ratio, low, high) for edge in edges) > 1e-9:
        there, back = judge_ratio(ratio, low, high), judge_ratio(1 / ratio, 1 / high, 1 / low)
        assert turned.get(there, there) == back


def test_what_differs_besides_is_said() -> None:
    one, other = record(timing([1.0, 1.0]), run="a"), record(timing([1.0, 1.0]), run="b", name="half")
    other = msgspec.structs.replace(
        other,
        bundle=msgspec.structs.replace(other.bundle, manifest_sha256="2" * 64, keep_ratio=0.5),
        device=msgspec.structs.replace(other.device, cpu_model="another", onnxruntime="2"),
    )
    said = sentence(compare(one, other))
    assert "measured in different runs" in said
    assert "different bundles: dense (loop, fp32, keep 1) against half (loop, fp32, keep 0.5)" in said
    assert "different devices: a processor against another" in said
    assert "onnxruntime 1 against 2" in said


def test_other_histories_are_not_compared() -> None:
    one, other = record(timing([1.0]), run="a"), record(timing([1.0]), run="b")
    workload = msgspec.structs.replace(other.workload, history_items=[3, 5])
    with pytest.raises(ComparisonError, match="asked about other histories"):
        compare(one, msgspec.structs.replace(other, workload=workload))


def results(*records: Record) -> Results:
    return Results(records=list(records), failures=[])


def test_cells_correspond_by_bundle_provider_and_threads() -> None:
    dense, half = noisy(1, seed=1, run="a"), noisy(0.5, seed=2, name="half", run="a")
    again = results(noisy(1, seed=3, run="b"), noisy(1, seed=4, name="x", run="b"))
    found = compare_results(results(half, dense), again)
    assert [(one.one, one.other) for one in found] == [("dense · cpu · 1 thread", "dense · cpu · 1 thread")]
    (single,) = compare_results(results(half), results(dense))
    assert single.verdict == "faster"
    with pytest.raises(ComparisonError, match=r"no cell .*half · cpu.* against nothing timed"):
        compare_results(results(half), results(record(None, device_kind="software-gpu")))
    assert [one.one for one in compare_with_first(results(dense, half))] == ["half · cpu · 1 thread"]
    assert compare_with_first(results()) == []


def test_every_format_holds_rows_and_comparisons() -> None:
    dense, half = noisy(1, seed=1, run="a"), noisy(0.5, seed=2, name="half|pipe", run="a")
    cells = [dense, half, record(None, device_kind="emulated-htp")]
    rows, found = table_rows(cells), compare_with_first(results(*cells))
    printed = {name: printer(rows, found) for name, printer in PRINTERS.items()}
    assert "| half\\|pipe · cpu · 1 thread |" in printed["md"]
    assert "- half|pipe · cpu · 1 thread ÷ dense · cpu · 1 thread: 0.5" in printed["md"]
    read = list(csv.DictReader(io.StringIO(printed["csv"])))
    assert [float(row["wall_ms_p50"]) for row in read[:2]] == [row.wall_ms_p50 for row in rows[:2]]
    assert read[2]["wall_ms_p50"] == ""
    assert json.loads(read[0]["nodes_placed"]) == rows[0].nodes_placed
    whole = json.loads(printed["json"])
    assert msgspec.convert(whole["comparisons"], list[Comparison]) == found
    lines = [json.loads(line) for line in printed["jsonl"].splitlines()]
    assert lines == [*whole["rows"], *whole["comparisons"]]
