import json
from pathlib import Path

import msgspec
import pytest
from bench_samples import record, timing

from mobile_bench.errors import RecordError
from mobile_bench.record import from_json, json_schema, read_records, to_builtins, to_json

ONE = record(timing([1.0, 2.0]))
SCHEMA = Path(__file__).parents[2] / "docs" / "bench-record.schema.json"


def test_record_survives_a_round_trip() -> None:
    assert from_json(to_json(ONE)) == ONE


def test_newer_schema_is_refused_with_its_version() -> None:
    newer = {**to_builtins(ONE), "schema_version": 99}
    with pytest.raises(RecordError, match="schema version 99"):
        from_json(json.dumps(newer))


def test_text_cut_short_is_refused() -> None:
    with pytest.raises(RecordError, match="cut short"):
        from_json(to_json(ONE)[:-20], source="half.json")


def test_missing_and_unknown_fields_are_refused_by_name() -> None:
    lacking = to_builtins(ONE)
    del lacking["load"]
    with pytest.raises(RecordError, match="load"):
        from_json(json.dumps(lacking))
    with pytest.raises(RecordError, match="temperature"):
        from_json(json.dumps({**to_builtins(ONE), "temperature": 30}))


def test_file_of_records_is_read_and_damage_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    path.write_text(json.dumps([to_builtins(ONE), to_builtins(ONE)]))
    assert read_records(path) == [ONE, ONE]
    path.write_text(json.dumps([to_builtins(ONE), {"schema_version": 1}]))
    with pytest.raises(RecordError, match="record 2"):
        read_records(path)
    path.write_text("{}")
    with pytest.raises(RecordError, match="no list"):
        read_records(path)
    with pytest.raises(RecordError, match="cannot read"):
        read_records(tmp_path / "absent.json")


def test_committed_schema_is_current() -> None:
    message = "run `python -m mobile_bench.record > docs/bench-record.schema.json`"
    assert json.loads(SCHEMA.read_text()) == json_schema(), message


def test_label_names_bundle_provider_and_threads() -> None:
    assert ONE.label == "dense · cpu · 1 thread"
    two = msgspec.structs.replace(ONE, execution=msgspec.structs.replace(ONE.execution, threads=2))
    assert two.label == "dense · cpu · 2 threads"
