import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mobile_bench.results import read_results
from odllm.verbs.bench import bench, parse_threads
from odllm.verbs.compare import compare

app = typer.Typer()
app.command()(bench)
QUICK = ["--min-seconds", "0", "--min-calls", "6"]


def test_json_on_standard_output_and_the_file_are_the_same_records(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "records.json"
    result = CliRunner().invoke(app, [str(bundle), *QUICK, "--json", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(out.read_text())
    assert [record.bundle.name for record in read_results(out).records] == ["tiny"]


def test_table_names_the_bundle_and_soak_says_flat(bundle: Path) -> None:
    table = CliRunner().invoke(app, [str(bundle), *QUICK, "--threads", "1,2"])
    assert table.exit_code == 0, table.output
    assert "tiny · cpu · 2 threads ÷ tiny · cpu · 1 thread" in table.stdout
    soak = CliRunner().invoke(app, [str(bundle), "--soak", "60", "--json"])
    assert json.loads(soak.stdout)[0]["calls"][-1] == 50 * (60 // 50)


def test_threads_are_a_comma_list_of_whole_numbers() -> None:
    assert parse_threads("1, 2,1") == [1, 2]
    for wrong in ("", "0", "1,,2", "two", "-1"):
        with pytest.raises(typer.BadParameter, match="whole numbers"):
            parse_threads(wrong)


def test_compare_reads_what_bench_wrote(bundle: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in files:
        measured = CliRunner().invoke(app, [str(bundle), *QUICK, "--out", str(path)])
        assert measured.exit_code == 0, measured.output
    program = typer.Typer()
    program.command()(compare)
    shown = CliRunner().invoke(program, [*map(str, files)])
    assert shown.exit_code == 0, shown.output
    assert "measured in different runs" in shown.stdout
    found = CliRunner().invoke(program, [str(files[0]), "--format", "json", "--clock", "cpu"])
    assert json.loads(found.stdout)["comparisons"] == []
    for wrong in (["--format", "pdf"], ["--clock", "sun"], [str(files[0])] * 2):
        assert CliRunner().invoke(program, [str(files[0]), *wrong]).exit_code == 2


def test_a_plan_decides_everything_but_where_its_records_go(bundle: Path, tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.yaml", tmp_path / "records.json"
    settings = "{min_seconds: 0, min_calls: 4, min_rounds: 2, warm_loads: 1, memory_calls: 1, warm_up_calls: 1}"
    plan.write_text(f"settings: {settings}\ngroups: [{{name: a, bundles: [{bundle}], providers: [cpu, nnapi]}}]\n")
    for wrong, what in ([], "give --out FILE"), (["--threads", "2", "--out", str(out)], "leave out --threads"):
        refused = CliRunner().invoke(app, [str(plan), *wrong])
        assert refused.exit_code == 2
        assert what in " ".join(refused.output.replace("│", " ").split())
    measured = CliRunner().invoke(app, [str(plan), "--out", str(out)])
    assert measured.exit_code == 4, measured.output
    assert "✗ tiny · nnapi · 1 thread" in measured.stdout
    assert len(read_results(out).records) == 1
