import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from research_data import research_data

from lcrec.dataset import load_dataset
from lcrec.embedded import embedded_movielens
from lcrec.embedded.make_movielens import main as make_movielens
from lcrec.errors import DatasetError
from lcrec.importers.csv_format import CsvColumns, import_csv
from lcrec.importers.interactions import in_core
from lcrec.importers.lcrec_format import import_lcrec
from lcrec.importers.movielens import import_movielens
from lcrec.importers.repairs import REPAIRS, Repairs
from lcrec.importers.titles import clean_text, clean_title


@pytest.fixture
def lcrec(tmp_path):
    """Three items with codes of depth two, one user."""
    write(tmp_path / "Toy.inter.json", {"0": [0, 1, 2], "1": [2, 1, 0, 2]})
    write(tmp_path / "Toy.item.json", {str(row): {"title": f"T{row}", "description": ""} for row in range(3)})
    write(tmp_path / "Toy.index.json", {str(row): [f"<a_{row}>", "<b_7>"] for row in range(3)})
    return tmp_path


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a CSV and gives its path."""

    def make(*lines, header="user,item,timestamp"):
        path = tmp_path / "log.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    return make


@pytest.fixture
def movielens(tmp_path):
    """Two users, four films, one of which nobody likes."""
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n2,Heat (1995),(no genres listed)\n"
        '3,"American President, The (1995)",Drama\n9,Nobody (2000),Drama\n'
    )
    ratings = ["1,1,4.0,30", "1,2,5.0,10", "1,3,4.5,20", "2,1,4.0,1", "2,2,4.0,2", "2,3,4.0,3", "2,9,3.5,4"]
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(ratings) + "\n")
    return tmp_path


def write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    write(path, value)


def ids(imported):
    dataset = imported.dataset
    users = zip(dataset.users, dataset.sequences, strict=True)
    return {user: [dataset.items[row].id for row in sequence] for user, sequence in users}


ANN = ["ann,a,1", "ann,b,2", "ann,c,3"]


# LC-Rec


def test_lcrec_sequences_titles_and_codes_are_read(lcrec):
    imported = import_lcrec(lcrec)
    assert imported.dataset.name == "toy"
    assert ids(imported) == {"0": ["0", "1", "2"], "1": ["2", "1", "0", "2"]}
    assert [item.title for item in imported.dataset.items] == ["T0", "T1", "T2"]
    assert imported.dataset.codes.codes.tolist() == [[0, 7], [1, 7], [2, 7]]
    assert imported.dataset.codes.sizes == (256, 256)
    assert imported.repairs == {}
    assert set(imported.source) == {"Toy.inter.json", "Toy.item.json", "Toy.index.json"}


def test_lcrec_may_be_given_by_its_interactions_file(lcrec):
    write(lcrec / "Other.inter.json", {})
    assert import_lcrec(lcrec / "Toy.inter.json", name="named").dataset.name == "named"


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6])
def test_lcrec_codes_of_any_depth_are_read(lcrec, depth):
    tokens = [f"<{letter}_{place}>" for place, letter in enumerate("abcdef"[:depth])]
    write(lcrec / "Toy.index.json", {str(row): tokens for row in range(3)})
    assert import_lcrec(lcrec).dataset.codes.codes[0].tolist() == list(range(depth))


def test_lcrec_level_grows_with_codes_above_255(lcrec):
    edit(lcrec / "Toy.index.json", lambda index: index.update({"1": ["<a_300>", "<b_255>"]}))
    assert import_lcrec(lcrec).dataset.codes.sizes == (301, 256)


def test_lcrec_without_titles_has_empty_ones(lcrec):
    (lcrec / "Toy.item.json").unlink()
    imported = import_lcrec(lcrec)
    assert [item.title for item in imported.dataset.items] == ["", "", ""]
    assert imported.repairs == {}


def test_lcrec_without_codes_needs_no_index(lcrec):
    (lcrec / "Toy.index.json").unlink()
    assert import_lcrec(lcrec, with_codes=False).dataset.codes is None


def test_lcrec_without_codes_and_titles_takes_the_items_that_occur(lcrec):
    (lcrec / "Toy.index.json").unlink()
    (lcrec / "Toy.item.json").unlink()
    assert import_lcrec(lcrec, with_codes=False).dataset.item_ids == ("0", "1", "2")


def test_lcrec_description_becomes_text(lcrec):
    edit(lcrec / "Toy.item.json", lambda table: table["1"].update(description=["Two", "parts &amp; more"]))
    assert import_lcrec(lcrec).dataset.items[1].text == "Two parts & more"


def test_lcrec_repairs_are_counted(lcrec):
    edit(lcrec / "Toy.inter.json", lambda inter: inter.update({"2": [0, 1]}))
    edit(lcrec / "Toy.index.json", lambda index: index.update({"3": ["<a_9>", "<b_9>"]}))
    edit(
        lcrec / "Toy.item.json",
        lambda table: table.update({"0": {"title": "Pok&eacute;mon"}, "1": {"title": " "}, "2": {"title": "a\n b"}}),
    )
    imported = import_lcrec(lcrec)
    assert [item.title for item in imported.dataset.items] == ["Pokémon", "Item 1", "a b", "Item 3"]
    assert imported.repairs == {
        "html_entities_unescaped": 1,
        "whitespace_tidied": 2,
        "empty_titles": 2,
        "users_too_short": 1,
        "items_without_interactions_kept": 1,
    }


@pytest.mark.parametrize("name", ["Toy.inter.json", "Toy.index.json"])
def test_lcrec_missing_file_is_named(lcrec, name):
    (lcrec / name).unlink()
    with pytest.raises(DatasetError, match=name.removeprefix("Toy.")):
        import_lcrec(lcrec)


@pytest.mark.parametrize("name", ["Toy.inter.json", "Toy.item.json", "Toy.index.json"])
def test_lcrec_truncated_json_is_refused_with_file_and_line(lcrec, name):
    path = lcrec / name
    path.write_text(path.read_text()[:-6])
    with pytest.raises(DatasetError, match=rf"{name} is not valid JSON: .* at line 1, column"):
        import_lcrec(lcrec)


def test_lcrec_file_that_is_no_object_is_refused(lcrec):
    write(lcrec / "Toy.inter.json", [1, 2, 3])
    with pytest.raises(DatasetError, match="expected an object"):
        import_lcrec(lcrec)


def test_lcrec_folder_with_two_datasets_asks_which(lcrec):
    write(lcrec / "Other.inter.json", {})
    with pytest.raises(DatasetError, match=r"Other\.inter\.json, Toy\.inter\.json"):
        import_lcrec(lcrec)


def test_lcrec_source_without_interactions_says_what_was_expected(tmp_path):
    with pytest.raises(DatasetError, match=r"expected a folder"):
        import_lcrec(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["<a_1>"], r"item '1': \['<a_1>'\]; expected 2 to 6 codes"),
        (["<a_1>", "<b_1>", "<c_1>"], "item '1': 3 codes; item '0' has 2"),
        (["<b_1>", "<a_1>"], "item '1': code 1 is '<b_1>'; expected <a_0>"),
        (["<a_1>", "<b_x>"], "code 2 is '<b_x>'"),
        (["<a_1>", "<b_-1>"], "code 2 is '<b_-1>'"),
        (["<a_1>", "<b_99999999>"], "code 2 is '<b_99999999>'"),
        (["<a_1>", 7], "code 2 is 7"),
        ("<a_1><b_1>", "expected 2 to 6 codes"),
        (None, "expected 2 to 6 codes"),
    ],
)
def test_lcrec_damaged_codes_are_refused_with_the_item(lcrec, tokens, message):
    edit(lcrec / "Toy.index.json", lambda index: index.update({"1": tokens}))
    with pytest.raises(DatasetError, match=message):
        import_lcrec(lcrec)


def test_lcrec_first_item_with_damaged_codes_is_named(lcrec):
    edit(lcrec / "Toy.index.json", lambda index: index.update({"0": {}}))
    with pytest.raises(DatasetError, match=r"item '0': \{\}"):
        import_lcrec(lcrec)


def test_lcrec_titled_item_without_codes_is_named(lcrec):
    edit(lcrec / "Toy.index.json", lambda index: index.pop("2"))
    with pytest.raises(DatasetError, match=r"no codes for item '2' of Toy\.item\.json"):
        import_lcrec(lcrec)


def test_lcrec_item_in_a_sequence_without_codes_is_named_with_the_user(lcrec):
    edit(lcrec / "Toy.inter.json", lambda inter: inter["1"].append(17))
    with pytest.raises(DatasetError, match=r"user '1': item '17'"):
        import_lcrec(lcrec)


@pytest.mark.parametrize("item", [1.5, True, None, [0]])
def test_lcrec_item_that_is_no_id_is_refused(lcrec, item):
    edit(lcrec / "Toy.inter.json", lambda inter: inter["1"].append(item))
    with pytest.raises(DatasetError, match="user '1': item"):
        import_lcrec(lcrec)


def test_lcrec_sequence_that_is_no_list_is_refused(lcrec):
    edit(lcrec / "Toy.inter.json", lambda inter: inter.update({"1": "0 1 2"}))
    with pytest.raises(DatasetError, match="user '1': '0 1 2'; expected a list"):
        import_lcrec(lcrec)


@pytest.mark.parametrize("entry", ["T1", {"title": 5}])
def test_lcrec_title_that_is_no_text_is_refused(lcrec, entry):
    edit(lcrec / "Toy.item.json", lambda table: table.update({"1": entry}))
    with pytest.raises(DatasetError, match="item '1'"):
        import_lcrec(lcrec)


def test_lcrec_with_short_users_only_is_refused(lcrec):
    write(lcrec / "Toy.inter.json", {"0": [0, 1]})
    with pytest.raises(DatasetError, match="none of 1 users has 3"):
        import_lcrec(lcrec)


# Plain tables


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
    columns = CsvColumns("who", "what", "when", title="label", rating="stars")
    imported = import_csv(path, columns=columns, min_rating=4)
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
    imported = import_csv(table(*lines, header="user,item,timestamp,rating"), min_rating=4)
    assert ids(imported) == {"ann": ["a", "b", "c"]}
    assert imported.repairs == {"interactions_below_min_rating": 1}


def test_csv_core_is_taken_again_and_again(table):
    lines = [f"{user},{item},{time}" for user in ("ann", "bob", "cid") for time, item in enumerate("abc")]
    # dan holds d up and d holds dan up, until e falls.
    imported = import_csv(table(*lines, "dan,a,1", "dan,d,2", "dan,e,3", "ann,d,7", "bob,d,8"), min_interactions=3)
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
        ("bob,a", r"log\.csv, line 5: 2 fields; the header has 3"),
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
        import_csv(table("ann,a,1,good", header="user,item,timestamp,rating"), min_rating=3)


def test_csv_missing_column_names_the_nearest(table):
    with pytest.raises(DatasetError, match=r"no column 'timestamp' among user, item, timestmp\. Did you mean"):
        import_csv(table(header="user,item,timestmp"))


@pytest.mark.parametrize("columns", [CsvColumns(title="label"), CsvColumns(rating="stars")])
def test_csv_optional_column_asked_for_by_name_must_be_there(table, columns):
    with pytest.raises(DatasetError, match=r"no column '(label|stars)'"):
        import_csv(table(*ANN), columns=columns)


def test_csv_rating_limit_without_ratings_is_refused(table):
    with pytest.raises(DatasetError, match="--min-rating"):
        import_csv(table(*ANN), min_rating=4)


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
        import_csv(table(*ANN), min_interactions=5)


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


# MovieLens


def test_movielens_likes_become_sequences(movielens):
    imported = import_movielens(movielens, min_interactions=2)
    assert ids(imported) == {"1": ["2", "3", "1"], "2": ["1", "2", "3"]}
    assert imported.repairs == {
        "users_put_in_time_order": 1,
        "interactions_below_min_rating": 1,
        "items_without_interactions": 1,
    }


def test_movielens_titles_and_genres_are_in_the_order_of_the_films(movielens):
    items = import_movielens(movielens, min_interactions=2).dataset.items
    assert [item.title for item in items] == ["Toy Story (1995)", "Heat (1995)", "American President, The (1995)"]
    assert [item.text for item in items] == ["Animation Comedy", "", "Drama"]


def test_movielens_year_of_its_own_column_joins_the_title(movielens):
    (movielens / "movies.csv").write_text(
        "movieId,title,year,genres\n1,Toy Story,1995.0,Comedy\n2,Heat,,Drama\n3,,1999,Drama\n9,X,1990,Drama\n"
    )
    items = import_movielens(movielens, min_interactions=2).dataset.items
    assert [item.title for item in items] == ["Toy Story (1995)", "Heat", "Item 3"]


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_movielens_missing_file_is_named(movielens, name):
    (movielens / name).unlink()
    with pytest.raises(DatasetError, match=name):
        import_movielens(movielens)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2,77,4.0,5", "line 9: film '77' is not in movies.csv"),
        ("2,1,five,5", "line 9: rating is 'five'"),
        ("2,1,4.0,now", "line 9: timestamp is 'now'"),
        ("2,1,4.0", r"line 9: 3 fields.*truncated"),
        (",1,4.0,5", "line 9: an empty userId"),
    ],
)
def test_movielens_damaged_rating_is_refused_with_its_line(movielens, row, message):
    with (movielens / "ratings.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(DatasetError, match=message):
        import_movielens(movielens)


def test_movielens_film_twice_is_refused(movielens):
    with (movielens / "movies.csv").open("a") as file:
        file.write("1,Again (1995),Drama\n")
    with pytest.raises(DatasetError, match="line 6: movieId '1'"):
        import_movielens(movielens)


def test_embedded_movielens_is_already_reduced():
    imported = import_movielens(embedded_movielens())
    dataset = imported.dataset
    assert (len(dataset.users), len(dataset.items), dataset.interactions) == (659, 2078, 44413)
    assert set(imported.repairs) == {"equal_times"}
    assert dataset.items[0].title == "Toy Story (1995)"


def test_embedded_movielens_is_small_and_carries_its_conditions():
    folder = embedded_movielens()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2_000_000
    readme = (folder / "README.md").read_text()
    assert all(word in readme for word in ("GroupLens", "endorsement", "commercial", "10.1145/2827872"))


# Titles


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("Pok&eacute;mon", "Pokémon"),
        ("Cr&amp;egrave;me", "Crème"),
        ("&#9733; PLUS &#x2605;", "★ PLUS ★"),
        ("R&D", "R&D"),
        ("Pens&paragraphs", "Pens&paragraphs"),
        (" two\u2028lines\x00 ", "two lines"),
        ("half \ud83d", "half ?"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("&nbsp;", "Item 7"),
        ("", "Item 7"),
    ],
)
def test_titles_are_tidied(title, clean):
    assert clean_title(title, "7", Repairs()) == clean


@given(st.text(st.characters(exclude_categories=[]), max_size=30))
def test_tidied_text_is_one_writable_line(text):
    clean = clean_text(text, Repairs())
    clean.encode()
    assert clean == clean.strip()
    assert len(clean.splitlines()) <= 1


def test_only_documented_repairs_can_be_counted():
    with pytest.raises(KeyError):
        Repairs().add("made_up")
    assert all(sentence for sentence in REPAIRS.values())


# Research data


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "users", "items", "interactions", "collisions"),
    [
        ("games", 50546, 16859, 452989, 142),
        ("instruments", 24772, 9922, 206153, 25),
        ("beauty", 22363, 12101, 198502, 13),
    ],
)
def test_research_data_survive_the_round_trip(name, users, items, interactions, collisions, tmp_path):
    imported = import_lcrec(research_data(name))
    imported.save(tmp_path / name)
    dataset = load_dataset(tmp_path / name)
    assert (len(dataset.users), len(dataset.items), dataset.interactions) == (users, items, interactions)
    assert dataset.require_codes().collisions() == collisions
    assert all("&eacute;" not in item.title for item in dataset.items)


@pytest.mark.data
def test_beauty_items_without_titles_are_named_and_counted():
    imported = import_lcrec(research_data("beauty"))
    assert imported.repairs["empty_titles"] == 7
    assert sum(item.title == f"Item {item.id}" for item in imported.dataset.items) == 7


@pytest.mark.data
def test_full_movielens_reduces_to_the_embedded_files(tmp_path, capsys):
    make_movielens(research_data("movielens"), tmp_path)
    assert "659 users, 2078 items, 44413 interactions" in capsys.readouterr().out
    for name in ("ratings.csv", "movies.csv"):
        assert (tmp_path / name).read_bytes() == (embedded_movielens() / name).read_bytes()


@pytest.mark.data
def test_full_movielens_gives_the_same_dataset_as_the_embedded_files():
    full, embedded = import_movielens(research_data("movielens")), import_movielens(embedded_movielens())
    assert ids(full) == ids(embedded)
    assert full.dataset.items == embedded.dataset.items
