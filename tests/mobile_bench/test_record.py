import json
from pathlib import Path

import msgspec
import pytest
from bench_samples import record, timing

from mobile_bench.errors import RecordError
from mobile_bench.results import Failure, Results, json_schema, read_results, to_builtins

ONE = record(timing([1.0, 2.0]))
SCHEMA = Path(__file__).parents[2] / "docs" / "bench-record.schema.json"


FAILED = Failure(bundle="dense", provider="qnn", threads=1, reason="took no node")
RESULTS = Results(records=[ONE, record(None, device_kind="software-gpu")], failures=[FAILED])


def written(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps(to_builtins(RESULTS) | changes))
    return path


def test_results_survive_a_round_trip(tmp_path: Path) -> None:
    assert read_results(written(tmp_path / "r.json")) == RESULTS


@pytest.mark.parametrize(
    ("version", "what"), [(99, "Update odllm"), (1, "reads 3. Measure again"), (None, "Measure again")]
)
def test_other_schemas_are_refused_with_their_version(tmp_path: Path, version: int | None, what: str) -> None:
    with pytest.raises(RecordError, match=rf"schema version {version}.*{what}"):
        read_results(written(tmp_path / "r.json", schema_version=version))


def test_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "half.json")
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RecordError, match=r"half\.json is not valid JSON.*cut short"):
        read_results(path)


def test_what_is_no_file_of_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("[]")
    with pytest.raises(RecordError, match="no file of records"):
        read_results(tmp_path / "r.json")
    with pytest.raises(RecordError, match="cannot read"):
        read_results(tmp_path / "absent.json")


def test_missing_and_unknown_fields_are_refused_by_name_and_place(tmp_path: Path) -> None:
    lacking = to_builtins(RESULTS)["records"]
    del lacking[1]["load"]
    with pytest.raises(RecordError, match=r"load.*records\[1\]"):
        read_results(written(tmp_path / "r.json", records=lacking))
    with pytest.raises(RecordError, match="warmth"):
        read_results(written(tmp_path / "r.json", warmth=30))


def test_a_time_where_time_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="says nothing about speed"):
        record(timing([1.0]), device_kind="emulated-arm64")
    records = to_builtins(RESULTS)["records"]
    records[1]["time_to_top_k"] = records[0]["time_to_top_k"]
    with pytest.raises(RecordError, match="software-gpu"):
        read_results(written(tmp_path / "r.json", records=records))


def test_committed_schema_is_current() -> None:
    message = "run `python -m mobile_bench.results > docs/bench-record.schema.json`"
    assert json.loads(SCHEMA.read_text()) == json_schema(), message


def test_label_names_bundle_provider_and_threads() -> None:
    assert ONE.label == "dense · cpu · 1 thread"
    two = msgspec.structs.replace(ONE, execution=msgspec.structs.replace(ONE.execution, threads=2))
    assert two.label == "dense · cpu · 2 threads"
    assert FAILED.label == "dense · qnn · 1 thread"
