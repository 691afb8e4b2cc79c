import msgspec
import pytest
from bench_samples import AGREEMENT, timing

from mobile_bench.protocol import Settings
from mobile_bench.record import Timing
from mobile_bench.validity import judge, relative_spread

SETTINGS = Settings(min_calls=10, min_rounds=5)
STEADY = [10.0, 10.1] * 10


def reasons(measured: Timing, *, threads: int = 1) -> list[str]:
    return judge(measured, None, SETTINGS, histories=1, threads=threads, cores=2).reasons


def test_steady_timing_on_a_quiet_machine_is_valid() -> None:
    assert judge(timing(STEADY), AGREEMENT, SETTINGS, histories=1, threads=1, cores=2).valid


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        (timing(STEADY[:8]), "too few samples"),
        (timing(STEADY, calls=10), "too few rounds"),
        (timing([10.0, 20.0] * 10), "too much spread"),
        (timing(STEADY, other_load=1.5), "other load"),
        (timing(STEADY, cpu_ms=[5.0] * 20), "waited for the processor"),
    ],
)
def test_every_reason_is_found_and_alone(measured: Timing, word: str) -> None:
    (reason,) = reasons(measured)
    assert word in reason


def test_other_load_counts_against_the_threads_that_were_measured() -> None:
    assert not reasons(timing(STEADY, other_load=0.9))
    assert reasons(timing(STEADY, other_load=0.9), threads=2)


def test_other_lists_are_a_reason_even_without_a_timing() -> None:
    other = msgspec.structs.replace(AGREEMENT, overlap=0.89, equal_lists=1)
    (reason,) = judge(None, other, SETTINGS, histories=1, threads=1, cores=2).reasons
    assert "other lists: 89.0%" in reason
    rounded = msgspec.structs.replace(other, min_overlap=0.6)
    assert judge(None, rounded, SETTINGS, histories=1, threads=1, cores=2).valid


def test_a_process_that_died_on_the_way_is_a_reason() -> None:
    (reason,) = judge(timing(STEADY), None, SETTINGS, histories=1, threads=1, cores=2, restarts=1).reasons
    assert "died" in reason


def test_histories_of_different_length_are_no_spread() -> None:
    assert relative_spread([1.0, 5.0, 1.0, 5.0], histories=2) == 0
    assert relative_spread([1.0, 5.0, 1.0, 5.0], histories=1) > 1
