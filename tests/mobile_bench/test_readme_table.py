from bench_samples import record, timing
from msgspec.structs import replace
from test_collection import PHASES, on

from mobile_bench.collection import FailedCell, collect
from mobile_bench.readme_table import readme_table
from mobile_bench.record import Validity
from mobile_bench.results import Failure


def cells_of(table: str, row: int) -> dict[str, str]:
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    return dict(zip(lines[0], lines[2 + row], strict=True))


def test_row_has_median_with_interval_memory_apart_and_size() -> None:
    measured = replace(record(timing([10.0, 20.0, 30.0])), phases=PHASES)
    found = cells_of(readme_table(collect([measured])), 0)
    assert found["bundle"] == "dense"
    assert found["provider"] == "cpu × 1"
    assert found["device"] == "a processor"
    assert found["p50 ms (95 %)"] == "20.00 (10.00–30.00)"
    assert found["one new item ms"] == "1.00"
    assert found["peak MiB (anonymous / file-backed)"] == "0.0 (0.0 / ?)"
    assert found["NDCG@10"] == "–"
    assert found["lists"] == "100.0%"


def test_stand_ins_have_neither_time_nor_memory() -> None:
    emulated = replace(record(None, device_kind="emulated-htp"), phases=PHASES)
    table = readme_table(collect([emulated]))
    found = cells_of(table, 0)
    assert found["device"] == "a processor (emulated-htp)"
    assert {found[name] for name in found if " ms" in name or "peak" in name} == {"–"}
    assert "neither time nor memory" in table


def test_one_line_below_says_where_when_and_what_is_not_to_be_quoted() -> None:
    doubtful = replace(
        record(timing([1.0]), name="half"), validity=Validity(valid=False, reasons=["too few samples: 1 call"])
    )
    failure = Failure(bundle="dense", provider="qnn", threads=1, reason="took no node.")
    records = [record(timing([1.0])), doubtful, on(record(timing([1.0])), model="A phone", device_kind="phone")]
    table = readme_table(collect(records, [FailedCell("a.json", failure)]))
    rows, provenance = table.rstrip("\n").split("\n\n")
    assert len(rows.splitlines()) == 2 + 3
    assert "\n" not in provenance
    assert "Measured 2025-01-01 on a processor (host; 2 cores, Linux, x86_64), onnxruntime 1." in provenance
    assert "on A phone (phone;" in provenance
    assert "! Not to be quoted: half · cpu · 1 thread (too few samples)." in provenance
    assert provenance.endswith("Failed: dense · qnn · 1 thread: took no node.")
    assert cells_of(table, 1)["bundle"] == "half !"


def test_without_a_measured_cell_there_is_no_empty_table() -> None:
    failure = Failure(bundle="dense", provider="qnn", threads=1, reason="took no node")
    assert readme_table(collect([], [FailedCell("a.json", failure)])) == (
        "Failed: dense · qnn · 1 thread: took no node.\n"
    )
