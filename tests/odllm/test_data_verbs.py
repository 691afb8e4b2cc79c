import json
from contextlib import contextmanager

import pytest
import typer
from typer.testing import CliRunner

from lcrec.dataset import load_dataset
from odllm.verbs import codes, data
from odllm_artifact import OdllmError

app = typer.Typer()
app.add_typer(data.app, name="data")
app.command("codes")(codes.codes)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refusal(*arguments):
    result = run(*arguments)
    assert isinstance(result.exception, OdllmError)
    assert result.exception.exit_code == 2
    return str(result.exception)


@pytest.fixture
def log(tmp_path):
    """A table of six users with eight items, each user's a little further on."""
    rows = [
        f"u{user},i{(user + step) % 8},{step},Item name {(user + step) % 8}" for user in range(6) for step in range(5)
    ]
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp,title\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def dataset(log, tmp_path):
    folder = tmp_path / "dataset"
    assert run("data", "import", "--format", "csv", log, "--out", folder).exit_code == 0
    return folder


def test_import_writes_a_dataset_named_after_its_source(dataset):
    loaded = load_dataset(dataset)
    assert (loaded.name, len(loaded.users), len(loaded.items)) == ("log", 6, 8)


def test_import_prints_figures_and_repairs_as_json(log, tmp_path):
    log.write_text(log.read_text() + "u9,i1,1,Item name 1\n")
    printed = run_json("data", "import", "--format", "csv", log, "--out", tmp_path / "out", "--name", "mine")
    assert (printed["name"], printed["users"], printed["interactions"]) == ("mine", 6, 30)
    assert printed["repairs"] == {"users_too_short": 1}


def test_import_tells_people_what_it_mended(log, tmp_path):
    log.write_text(log.read_text() + "u9,i1,1,Item name 1\n")
    result = run("data", "import", "--format", "csv", log, "--out", tmp_path / "out")
    assert "\n1  users with fewer than three interactions, too few to split; dropped\n" in result.stdout


def test_import_of_the_embedded_data_needs_no_format(tmp_path):
    printed = run_json("data", "import", "embedded:movielens", "--out", tmp_path / "out")
    assert (printed["users"], printed["items"], printed["interactions"]) == (659, 2078, 44413)


def test_import_reads_lcrec_folders(tmp_path):
    (tmp_path / "X.inter.json").write_text('{"0": [0, 1, 2]}')
    (tmp_path / "X.index.json").write_text(json.dumps({str(row): ["<a_1>", "<b_1>"] for row in range(3)}))
    printed = run_json("data", "import", "--format", "lcrec", tmp_path, "--out", tmp_path / "out")
    assert printed["codes"]["collisions"] == 2
    bare = run_json("data", "import", "--format", "lcrec", "--no-codes", tmp_path, "--out", tmp_path / "bare")
    assert bare["codes"] is None


def test_import_takes_column_names_and_limits(log, tmp_path):
    rows = log.read_text().replace("user,item,timestamp,title", "who,what,when,label")
    log.write_text(rows + "u0,rare,9,Rare\n")
    printed = run_json(
        "data", "import", "--format", "csv", log, "--out", tmp_path / "out", "--min-interactions", 3,
        "--user-column", "who", "--item-column", "what", "--time-column", "when", "--title-column", "label",
    )  # fmt: skip
    assert printed["items"] == 8
    assert printed["repairs"] == {"interactions_outside_core": 1, "items_without_interactions": 1}


@pytest.fixture
def lamps(tmp_path):
    """Ratings of five lamps by five users, each lamp but the last with a row of metadata."""
    rows = [f"B00LAMP00{item},A{user}USER,4.0,{10 * user + item}" for user in range(5) for item in range(6)]
    (tmp_path / "Lamps.csv").write_text("\n".join(rows) + "\n")
    meta = [json.dumps({"asin": f"B00LAMP00{item}", "title": f"Lamp {item}" if item else ""}) for item in range(5)]
    (tmp_path / "meta_Lamps.json").write_text("\n".join(meta) + "\n")
    return tmp_path / "Lamps.csv"


def test_import_of_a_dump_takes_its_metadata_and_options(lamps, tmp_path):
    meta = lamps.with_name("meta_Lamps.json")
    printed = run_json("data", "import", "--format", "amazon2018", lamps, "--meta", meta, "--out", tmp_path / "out")
    assert (printed["users"], printed["items"], printed["interactions"]) == (5, 5, 25)
    assert printed["repairs"]["interactions_with_unknown_items"] == 5
    titled = run_json(
        "data", "import", "--format", "amazon2018", lamps, "--meta", meta, "--out", tmp_path / "titled",
        "--require-titles", "--min-interactions", 3, "--repeats", "keep", "--min-rating", 2,
    )  # fmt: skip
    assert titled["items"] == 4


def test_import_reads_parquet(log, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import csv, parquet

    parquet.write_table(csv.read_csv(log), tmp_path / "log.parquet")
    printed = run_json("data", "import", "--format", "parquet", tmp_path / "log.parquet", "--out", tmp_path / "out")
    assert (printed["name"], printed["users"], printed["items"]) == ("log", 6, 8)


def test_import_reads_steam(tmp_path):
    lines = [
        f"{{u'username': u'u{user}', u'product_id': u'{game}', u'date': u'2017-01-0{game}'}}"
        for user in range(5)
        for game in range(1, 6)
    ]
    (tmp_path / "steam_reviews.json").write_text("\n".join(lines))
    source = tmp_path / "steam_reviews.json"
    printed = run_json("data", "import", "--format", "steam", source, "--out", tmp_path / "out", "--name", "steam")
    assert (printed["name"], printed["users"], printed["items"], printed["repairs"]) == ("steam", 5, 5, {})


@pytest.mark.parametrize("stop", [0, 1])
def test_import_that_is_stopped_leaves_nothing_behind(lamps, tmp_path, monkeypatch, stop):
    @contextmanager
    def stopping(title):
        reports = iter(range(stop + 1))

        def report(done, total, note=""):
            if next(reports) == stop:
                raise KeyboardInterrupt

        yield report

    monkeypatch.setattr(data, "progress_bar", stopping)
    before = sorted(tmp_path.iterdir())
    meta = lamps.with_name("meta_Lamps.json")
    result = run("data", "import", "--format", "amazon2018", lamps, "--meta", meta, "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["log.csv"], "--format lcrec, movielens, csv"),
        (["embedded:movielens", "--format", "csv"], "of the format movielens"),
        (["log.csv", "--format", "lcrec", "--min-rating", "3"], "--min-rating has no meaning"),
        (["log.csv", "--format", "csv", "--meta", "m.json"], "--meta has no meaning"),
        (["log.csv", "--format", "csv", "--rating-column", "stars"], "needs --min-rating"),
        (["log.csv", "--format", "amazon2018", "--title-column", "t"], "--title-column has no meaning"),
        (["log.csv", "--format", "amazon2018", "--require-titles"], "needs --meta"),
        (["log.csv", "--format", "steam", "--min-rating", "3"], "--min-rating has no meaning"),
        (["log.csv", "--format", "orc"], "parquet"),
    ],
)
def test_import_options_that_make_no_sense_are_usage_errors(arguments, message, tmp_path):
    result = run("data", "import", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")


def test_import_of_damaged_data_leaves_nothing_behind(log, tmp_path):
    log.write_text(log.read_text() + "u1,i1\n")
    before = sorted(tmp_path.iterdir())
    assert "line 32" in refusal("data", "import", "--format", "csv", log, "--out", tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_import_keeps_a_dataset_that_is_there(log, dataset):
    arguments = ("data", "import", "--format", "csv", log, "--out", dataset)
    assert "--overwrite" in refusal(*arguments)
    assert run(*arguments, "--overwrite").exit_code == 0


def test_stats_describe_a_dataset(dataset):
    printed = run_json("data", "stats", dataset)
    assert (printed["users"], printed["items"], printed["length_mean"]) == (6, 8, 5.0)
    assert printed["codes"] is None


def test_stats_of_no_dataset_say_how_to_make_one(tmp_path):
    assert "odllm data import" in refusal("data", "stats", tmp_path)


def test_codes_are_written_into_the_dataset(dataset):
    printed = run_json("codes", dataset, "--levels", 3, "--width", 4, "--seed", 1)
    assert printed["statistics"]["collisions"] == 0
    assert printed["method"]["seed"] == 1
    assert load_dataset(dataset).require_codes().sizes == (4, 4, 4)


def test_codes_and_stats_print_usage_and_collisions(dataset):
    for result in (run("codes", dataset), run("data", "stats", dataset)):
        assert result.exit_code == 0
        assert "perplexity" in result.stdout
        assert "0 collisions" in result.stdout


def test_codes_that_are_there_are_kept_without_overwrite(dataset):
    run("codes", dataset, "--width", 4)
    before = (dataset / "codes.json").read_bytes()
    assert "--overwrite" in refusal("codes", dataset, "--width", 8)
    assert (dataset / "codes.json").read_bytes() == before
    assert run("codes", dataset, "--width", 8, "--overwrite").exit_code == 0
    assert load_dataset(dataset).require_codes().sizes[0] == 8


def test_damaged_codes_can_be_overwritten(dataset):
    (dataset / "codes.json").write_text("{")
    assert run("codes", dataset, "--overwrite").exit_code == 0


@pytest.mark.parametrize("option", [("--levels", 7), ("--levels", 1), ("--width", 1), ("--seed", -1)])
def test_codes_of_an_impossible_shape_are_usage_errors(dataset, option):
    assert run("codes", dataset, *option).exit_code == 2


def test_codes_for_no_dataset_say_how_to_make_one(tmp_path):
    assert "odllm data import" in refusal("codes", tmp_path)


def test_a_sample_has_so_many_users_and_a_name_that_says_so(dataset, tmp_path):
    printed = run_json("data", "sample", dataset, "--users", "4", "--out", tmp_path / "some")
    assert (printed["users"], printed["items"], printed["name"]) == (4, 8, "log-4")


def test_a_sample_does_not_overwrite_what_it_is_drawn_from(dataset):
    assert "choose another folder" in refusal(
        "data", "sample", dataset, "--users", "4", "--out", dataset, "--overwrite"
    )
