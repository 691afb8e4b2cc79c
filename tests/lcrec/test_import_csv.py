import csv
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrec.errors import DatasetError
from lcrec.importers import csv_table
from lcrec.importers.csv_format import import_csv
from lcrec.importers.csv_table import open_table
from lcrec.importers.interactions import Limits, in_core
from lcrec.importers.table import TableColumns


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a CSV and gives its path."""

    def make(*lines, header="user,item,timestamp"):
        path = tmp_path / "log.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    return make


def ids(imported):
    dataset = imported.dataset
    users = zip(dataset.users, dataset.sequences, strict=True)
    return {user: [dataset.items[row].id for row in sequence] for user, sequence in users}


ANN = ["ann,a,1", "ann,b,2", "ann,c,3"]


def test_csv_rows_become_sequences_in_time_order(table):
    imported = import_csv(table("ann,c,3", "bob,a,1", "ann,a,1", "bob,b,2", "ann,b,2.5", "bob,c,9"))
    assert ids(imported) == {"ann": ["a", "b", "c"], "bob": ["a", "b", "c"]}
    assert imported.repairs == {"users_put_in_time_order": 1}
    assert imported.dataset.name == "log"
    assert list(imported.source) == ["log.csv"]


def test_csv_may_be_separated_by_tabs(table):
    path = table(*(line.replace(",", "\t") for line in ANN), header="user\titem\ttimestamp")
    assert ids(import_csv(path)) == {"ann": ["a", "b", "c"]}


def test_csv_may_start_with_a_byte_order_mark_and_end_lines_as_windows_does(table):
    path = table()
    path.write_bytes(b"\xef\xbb\xbfUser,Item,Timestamp\r\nann,a,1\r\nann,b,2\r\nann,c,3\r\n\r\n")
    assert ids(import_csv(path)) == {"ann": ["a", "b", "c"]}


def test_csv_headers_can_be_named(table):
    path = table("1,ann,A &amp; B,a,5", "2,ann,B,b,5", "3,ann,C,c,5", header="when,who,label,what,stars")
    columns = TableColumns("who", "what", "when", title="label", rating="stars")
    imported = import_csv(path, columns=columns, limits=Limits(min_rating=4))
    assert [item.title for item in imported.dataset.items] == ["A & B", "B", "C"]


def test_csv_duplicate_rows_are_dropped_and_counted(table):
    imported = import_csv(table(*ANN, "ann,a,1", "ann,a,1", "ann,a,4"))
    assert ids(imported) == {"ann": ["a", "b", "c", "a"]}
    assert imported.repairs == {"duplicate_rows": 2}


def test_csv_equal_times_stay_in_file_order_and_are_counted(table):
    imported = import_csv(table("ann,b,5", "ann,a,5", "ann,c,5"))
    assert ids(imported) == {"ann": ["b", "a", "c"]}
    assert imported.repairs == {"equal_times": 2}


def test_csv_short_users_are_dropped_with_the_items_only_they_had(table):
    imported = import_csv(table(*ANN, "bob,z,1", "bob,a,2"))
    assert imported.dataset.users == ("ann",)
    assert imported.dataset.item_ids == ("a", "b", "c")
    assert imported.repairs == {"users_too_short": 1, "items_without_interactions": 1}


def test_csv_ratings_below_the_minimum_are_dropped(table):
    lines = [f"{line},{stars}" for line, stars in zip([*ANN, "ann,d,4"], (5, 4, 4, 3), strict=True)]
    imported = import_csv(table(*lines, header="user,item,timestamp,rating"), limits=Limits(min_rating=4))
    assert ids(imported) == {"ann": ["a", "b", "c"]}
    assert imported.repairs == {"interactions_below_min_rating": 1}


def test_csv_core_is_taken_again_and_again(table):
    lines = [f"{user},{item},{time}" for user in ("ann", "bob", "cid") for time, item in enumerate("abc")]
    # dan holds d up and d holds dan up, until e falls.
    imported = import_csv(
        table(*lines, "dan,a,1", "dan,d,2", "dan,e,3", "ann,d,7", "bob,d,8"), limits=Limits(min_interactions=3)
    )
    assert set(imported.dataset.item_ids) == {"a", "b", "c"}
    assert imported.repairs["interactions_outside_core"] == 5


def test_csv_first_title_counts_and_conflicts_are_counted(table):
    header = "user,item,timestamp,title"
    imported = import_csv(table("ann,a,1,", "ann,b,2,", "ann,a,3,Alpha", "ann,a,4,Beta", header=header))
    assert [item.title for item in imported.dataset.items] == ["Alpha", "Item b"]
    assert imported.repairs == {"empty_titles": 1, "conflicting_titles": 1}


def test_csv_without_titles_has_empty_ones(table):
    assert [item.title for item in import_csv(table(*ANN)).dataset.items] == ["", "", ""]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bob,a", r"log\.csv, line 5: 2 fields; expected 3"),
        ("bob,a,1,2", "line 5: 4 fields"),
        ("bob,a,yesterday", "line 5: timestamp is 'yesterday'; expected a number"),
        ("bob,a,nan", "line 5: timestamp is 'nan'"),
        ("bob,a,", "line 5: timestamp is ''"),
        (",a,1", "line 5: an empty user"),
        ("bob, ,1", "line 5: an empty item"),
        ('bob,"a,1', "line 5: .*truncated"),
    ],
)
def test_csv_damaged_row_is_refused_with_its_line(table, line, message):
    with pytest.raises(DatasetError, match=message):
        import_csv(table(*ANN, line))


def test_csv_bad_rating_is_refused_with_its_line(table):
    with pytest.raises(DatasetError, match="line 2: rating is 'good'"):
        import_csv(table("ann,a,1,good", header="user,item,timestamp,rating"), limits=Limits(min_rating=3))


def test_csv_missing_column_names_the_nearest(table):
    with pytest.raises(DatasetError, match=r"no column 'timestamp' among user, item, timestmp\. Did you mean"):
        import_csv(table(header="user,item,timestmp"))


@pytest.mark.parametrize("columns", [TableColumns(title="label"), TableColumns(rating="stars")])
def test_csv_optional_column_asked_for_by_name_must_be_there(table, columns):
    with pytest.raises(DatasetError, match=r"no column '(label|stars)'"):
        import_csv(table(*ANN), columns=columns)


def test_csv_rating_limit_without_ratings_is_refused(table):
    with pytest.raises(DatasetError, match="--min-rating"):
        import_csv(table(*ANN), limits=Limits(min_rating=4))


def test_csv_that_is_missing_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"log\.csv is missing"):
        import_csv(tmp_path / "log.csv")


def test_csv_that_is_empty_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("")
    with pytest.raises(DatasetError, match="is empty"):
        import_csv(tmp_path / "log.csv")


def test_csv_that_is_not_utf8_is_refused(table):
    path = table(*ANN)
    path.write_bytes(path.read_bytes() + b"b\xff\xfe,a,1\n")
    with pytest.raises(DatasetError, match="not UTF-8"):
        import_csv(path)


def test_csv_of_which_nothing_is_left_says_which_option_to_lower(table):
    with pytest.raises(DatasetError, match=r"none of 3 interactions is left.*--min-interactions"):
        import_csv(table(*ANN), limits=Limits(min_interactions=5))


events = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(events=events, k=st.integers(1, 4))
def test_core_is_the_largest_set_in_which_everyone_has_k(events, k):
    user, item, _ = np.array(events, dtype=np.int64).T
    inside = in_core(user, item, k)
    alive = list(range(len(events)))
    while True:  # one at a time, the slow way: any order of removal ends in the same core
        rare = [
            one for one in alive
            if sum(user[other] == user[one] for other in alive) < k
            or sum(item[other] == item[one] for other in alive) < k
        ]  # fmt: skip
        if not rare:
            break
        alive.remove(rare[0])
    assert np.flatnonzero(inside).tolist() == alive


@settings(max_examples=40, deadline=None)
@given(events=events)
def test_csv_sequences_are_the_sorted_different_rows(events, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    path.write_text("user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in events))
    different = list(dict.fromkeys(events))
    expected = {
        str(user): [str(i) for u, i, _ in sorted(different, key=lambda event: event[2]) if u == user]
        for user in range(5)
    }
    expected = {user: items for user, items in expected.items() if len(items) >= 3}
    if expected:
        assert ids(import_csv(path)) == expected
    else:
        with pytest.raises(DatasetError, match="is left"):
            import_csv(path)


fields = st.text(st.sampled_from('ab ,\t"\n'), max_size=4)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(fields, fields), max_size=12),
    delimiter=st.sampled_from(",\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_table_is_read_as_the_csv_module_reads_it(rows, delimiter, end, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator=end).writerows([("one", "two"), *rows])
    with pytest.MonkeyPatch.context() as patch, open_table(path, ["two", "one"], ["three"]) as table:
        patch.setattr(csv_table, "ROWS_A_BLOCK", 3)
        blocks = list(table.blocks)
    read = [row for block in blocks for row in zip(block.texts(1), block.texts(0), block.texts(2), strict=True)]
    assert read == [(one.strip(), two.strip(), "") for one, two in rows]
    with path.open(newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        assert [line for block in blocks for line in block.lines] == [reader.line_num for _ in reader][1:]


def test_csv_blank_lines_do_not_end_it(table, monkeypatch):
    monkeypatch.setattr(csv_table, "ROWS_A_BLOCK", 2)
    path = table(ANN[0], "", "", "", "", *ANN[1:], "ann,d")
    with pytest.raises(DatasetError, match="line 9: 2 fields"):
        import_csv(path)


def test_csv_damage_behind_a_quoted_field_is_refused_with_its_line(table, monkeypatch):
    monkeypatch.setattr(csv_table, "ROWS_A_BLOCK", 2)
    path = table(*ANN, 'ann,"d\ne",4', "ann,f", header="user,item,timestamp")
    with pytest.raises(DatasetError, match="line 7: 2 fields"):
        import_csv(path)


def test_csv_may_be_gzip(table, tmp_path):
    path = tmp_path / "packed.csv.gz"
    path.write_bytes(gzip.compress(table(*ANN).read_bytes()))
    imported = import_csv(path)
    assert ids(imported) == {"ann": ["a", "b", "c"]}
    assert imported.dataset.name == "packed"


def test_csv_first_interaction_with_an_item_can_be_the_only_one(table):
    imported = import_csv(table("ann,a,9", *ANN, "ann,b,2"), limits=Limits(first_only=True))
    assert ids(imported) == {"ann": ["a", "b", "c"]}
    assert imported.repairs == {"duplicate_rows": 1, "repeated_items": 1}


def test_every_item_keeps_its_two_interactions_where_users_need_three(table):
    """Dan is too short; without him item d has one interaction, and without that Cat is too short as well."""
    users = {"ann": "abc", "bob": "abc", "cat": "abd", "dan": "ad"}
    lines = [f"{user},{item},{time}" for user, items in users.items() for time, item in enumerate(items)]
    imported = import_csv(table(*lines), limits=Limits(min_interactions=2))
    assert imported.dataset.users == ("ann", "bob")
    assert imported.dataset.popularity(exclude_last=0).tolist() == [2, 2, 2]


def test_blank_lines_in_front_do_not_decide_the_delimiter(table, tmp_path):
    tabs = tmp_path / "tabs.tsv"
    tabs.write_text("\n\n" + table(*ANN).read_text().replace(",", "\t"))
    assert ids(import_csv(tabs)) == ids(import_csv(table(*ANN)))


def test_a_table_without_rows_is_called_empty(table):
    with pytest.raises(DatasetError, match="there are no interactions"):
        import_csv(table())
