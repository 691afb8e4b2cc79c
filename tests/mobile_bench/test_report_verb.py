from pathlib import Path

import pytest
import typer
from bench_samples import record, timing
from typer.testing import CliRunner, Result

from mobile_bench.errors import RecordError
from mobile_bench.results import Results, read_results, write_results
from odllm.verbs.report import report

app = typer.Typer()
app.command()(report)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    write_results(Results(records=[record(timing([1.0, 2.0]))], failures=[]), tmp_path / "records.json")
    return tmp_path / "records.json"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_without_a_file_to_write_the_table_goes_to_standard_output(records: Path) -> None:
    found = run(records)
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("| bundle |")
    assert run(records, "--format", "md").stdout == found.stdout


def test_the_name_of_the_file_decides_the_format(records: Path) -> None:
    page, table = records.with_name("report.html"), records.with_name("deep") / "table.md"
    assert run(records, "--out", page, "--title", "Ours").exit_code == 0
    assert "<title>Ours</title>" in page.read_text()
    assert run(records, "--out", table).exit_code == 0
    assert table.read_text() == run(records).stdout


def test_records_are_never_overwritten(records: Path) -> None:
    before = read_results(records)
    assert run(records, "--out", records).exit_code == 2
    assert read_results(records) == before


@pytest.mark.parametrize("wrong", [["--format", "pdf"], ["--format", "html"], ["--title", "Ours"], ["--out", "."]])
def test_what_makes_no_sense_is_a_usage_error(records: Path, wrong: list[str]) -> None:
    assert run(records, *wrong).exit_code == 2


def test_one_damaged_file_stops_it_before_anything_is_written(records: Path) -> None:
    cut = records.with_name("cut.json")
    cut.write_text(records.read_text()[:-20])
    found = run(records, cut, "--out", records.with_name("report.html"))
    assert isinstance(found.exception, RecordError)
    assert found.exception.exit_code == 2
    assert not records.with_name("report.html").exists()
