import pytest
from bench_samples import record, timing

from mobile_bench.compare import paired_ratio, round_ratios, table_rows
from mobile_bench.errors import ComparisonError


def test_ratio_is_paired_by_round_so_that_drift_cancels() -> None:
    slow = record(timing([20.0, 40.0, 80.0]), name="slow")
    fast = record(timing([10.0, 20.0, 40.0]), name="fast")
    ratio = paired_ratio(slow, fast)
    assert (ratio.ratio, ratio.low, ratio.high, ratio.rounds) == (2.0, 2.0, 2.0, 3)


def test_rounds_are_cut_by_their_calls() -> None:
    assert round_ratios(timing([1, 9, 4, 4], calls=2), timing([1, 1, 2, 2], calls=2)) == [5.0, 2.0]


def test_processor_time_is_a_clock_of_its_own() -> None:
    one, other = timing([4.0], cpu_ms=[3.0]), timing([2.0], cpu_ms=[1.0])
    assert round_ratios(one, other, "cpu") == [3.0]


def test_different_runs_are_not_compared() -> None:
    with pytest.raises(ComparisonError, match="different runs"):
        paired_ratio(record(timing([1.0])), record(timing([1.0]), run="another"))


def test_different_rounds_are_not_compared() -> None:
    with pytest.raises(ComparisonError, match="different rounds"):
        round_ratios(timing([1.0]), timing([1.0, 1.0]))


def test_emulated_latency_is_neither_compared_nor_printed() -> None:
    emulated = record(None, device_kind="emulated-arm64")
    with pytest.raises(ComparisonError, match="emulated-arm64: its latency says nothing"):
        paired_ratio(emulated, emulated)
    (row,) = table_rows([emulated])
    assert row.wall_ms_p50 is None
    assert row.load_cold_ms is None
    assert row.bundle_bytes == 1000
    assert row.overlap == 1.0


def test_rows_keep_the_order_of_the_records() -> None:
    rows = table_rows([record(timing([2.0]), name="b"), record(timing([1.0]), name="a")])
    assert [(row.label, row.wall_ms_p50, row.load_warm_ms) for row in rows] == [
        ("b · cpu · 1 thread", 2.0, 4.0),
        ("a · cpu · 1 thread", 1.0, 4.0),
    ]
