import datetime
import sys

import pytest

from lcrec.errors import DatasetError
from lcrec.importers import parquet_format
from lcrec.importers.csv_format import import_csv
from lcrec.importers.interactions import Limits
from lcrec.importers.parquet_format import import_parquet
from lcrec.importers.table import TableColumns

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a Parquet file of these columns and gives its path."""
    from pyarrow import parquet

    def make(row_group_size=None, **columns):
        path = tmp_path / "log.parquet"
        parquet.write_table(pyarrow.table(columns), path, row_group_size=row_group_size)
        return path

    return make


def ids(imported):
    dataset = imported.dataset
    users = zip(dataset.users, dataset.sequences, strict=True)
    return {user: [dataset.items[row].id for row in sequence] for user, sequence in users}


def test_parquet_rows_become_sequences_in_time_order(table):
    imported = import_parquet(table(user=["ann"] * 3, item=["c", "a", "b"], timestamp=[3, 1, 2]))
    assert ids(imported) == {"ann": ["a", "b", "c"]}
    assert imported.dataset.name == "log"
    assert list(imported.source) == ["log.parquet"]


def test_parquet_gives_what_the_same_csv_gives(table, tmp_path):
    columns = {
        "User": ["ann", "bob"] * 4,
        "item": list("abcdabca"),
        "timestamp": [5, 4, 3, 2, 1, 0, 7, 4],
        "title": ["A &amp; B", "", "C", "D", "Other", "B", "C", "A"],
        "rating": [5.0, 4, 5, 4, 5, 1, 5, 4],
        "unused": [None] * 8,
    }
    csv = tmp_path / "log.csv"
    rows = zip(*columns.values(), strict=True)
    csv.write_text("\n".join(",".join("" if v is None else str(v) for v in row) for row in [columns, *rows]))
    one = import_parquet(table(row_group_size=3, **columns), limits=Limits(min_rating=2))
    other = import_csv(csv, limits=Limits(min_rating=2))
    assert ids(one) == ids(other)
    assert one.dataset.items == other.dataset.items
    assert one.repairs == other.repairs


def test_parquet_is_read_in_batches(table, monkeypatch):
    monkeypatch.setattr(parquet_format, "ROWS_A_BATCH", 2)
    seen = []
    path = table(user=["ann"] * 5, item=list("abcde"), timestamp=range(5))
    imported = import_parquet(path, progress=lambda done, total, note="": seen.append((done, total)))
    assert ids(imported) == {"ann": list("abcde")}
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_parquet_ids_may_be_numbers_and_times_dates(table):
    days = [datetime.date(2020, 1, day) for day in (3, 1, 2)]
    assert ids(import_parquet(table(user=[7] * 3, item=[30, 10, 20], timestamp=days))) == {"7": ["10", "20", "30"]}
    times = [datetime.datetime(2020, 1, 1, hour) for hour in (3, 1, 2)]
    assert ids(import_parquet(table(user=[7] * 3, item=[30, 10, 20], timestamp=times))) == {"7": ["10", "20", "30"]}


def test_parquet_ids_may_be_dictionaries(table):
    user = pyarrow.array(["ann"] * 3).dictionary_encode()
    assert ids(import_parquet(table(user=user, item=list("abc"), timestamp=[1, 2, 3]))) == {"ann": ["a", "b", "c"]}


def test_parquet_columns_can_be_named(table):
    path = table(who=["ann"] * 3, what=list("abc"), when=[1, 2, 3], label=["A", "B", "C"])
    imported = import_parquet(path, columns=TableColumns("who", "what", "when", title="label"))
    assert [item.title for item in imported.dataset.items] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": [1, None, 3]}, r"log\.parquet, row 2: timestamp is None"),
        ({"timestamp": [1.0, 2.0, float("nan")]}, "row 3: timestamp is nan"),
        ({"timestamp": ["now", "then", "never"]}, "timestamp holds string"),
        ({"user": ["ann", None, "ann"]}, "row 2: an empty user"),
        ({"item": [["a"], ["b"], ["c"]]}, "column 2 holds list"),
    ],
)
def test_parquet_values_that_cannot_be_meant_are_refused(table, change, message):
    columns = {"user": ["ann"] * 3, "item": list("abc"), "timestamp": [1, 2, 3]} | change
    with pytest.raises(DatasetError, match=message):
        import_parquet(table(**columns))


def test_parquet_missing_column_names_the_nearest(table):
    with pytest.raises(DatasetError, match=r"no column 'timestamp' among user, item, timestmp\. Did you mean"):
        import_parquet(table(user=["a"], item=["b"], timestmp=[1]))


def test_parquet_that_is_damaged_is_refused(table):
    path = table(user=["ann"] * 3, item=list("abc"), timestamp=[1, 2, 3])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"log\.parquet is no Parquet file"):
        import_parquet(path)


def test_parquet_that_is_missing_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"log\.parquet is missing"):
        import_parquet(tmp_path / "log.parquet")


def test_parquet_without_pyarrow_says_what_to_install(table, monkeypatch):
    path = table(user=["ann"] * 3, item=list("abc"), timestamp=[1, 2, 3])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DatasetError, match=r"pip install 'odllm\[parquet\]'"):
        import_parquet(path)
