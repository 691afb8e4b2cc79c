import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrec.dataset import Dataset, Item, ItemCodes, load_dataset, save_codes, save_dataset
from lcrec.errors import DatasetError, ItemCodesError
from odllm_artifact import ArtifactError


def rows(*numbers):
    return np.array(numbers, dtype=np.int32)


def toy(codes=None):
    titles = ("Toy Story (1995)", "Jumanji (1995)", "Heat (1995)", "Sabrina (1995)", "Tom and Huck (1995)")
    items = tuple(Item(str(10 * number), title, "Drama") for number, title in enumerate(titles, start=1))
    return Dataset("toy", items, ("ann", "bob"), (rows(0, 1, 2), rows(4, 0, 1, 3)), codes)


def toy_codes():
    return ItemCodes(np.array([[0, 1], [0, 1], [2, 0], [2, 1], [1, 1]], dtype=np.int32), (3, 2))


@pytest.fixture
def folder(tmp_path):
    save_dataset(toy(toy_codes()), tmp_path / "toy", repairs={"empty_titles": 2}, source={"a.csv": "0" * 64})
    return tmp_path / "toy"


def assert_same(left, right):
    assert (left.name, left.items, left.users) == (right.name, right.items, right.users)
    assert [one.tolist() for one in left.sequences] == [one.tolist() for one in right.sequences]
    assert all(one.dtype == np.int32 for one in right.sequences)
    assert (left.codes is None) == (right.codes is None)
    if left.codes is not None:
        assert left.codes.sizes == right.codes.sizes
        np.testing.assert_array_equal(left.codes.codes, right.codes.codes)


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


# What one line of text may be: no line breaks, no halves of surrogate pairs.
words = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=8)


@st.composite
def datasets(draw):
    ids = draw(st.lists(words, min_size=1, max_size=6, unique=True))
    items = tuple(Item(one, draw(st.text(st.characters(codec="utf-8"), max_size=8)), draw(words)) for one in ids)
    users = draw(st.lists(words, max_size=4, unique=True))
    row = st.integers(0, len(ids) - 1)
    sequences = tuple(rows(*draw(st.lists(row, min_size=3, max_size=6))) for _ in users)
    sizes = tuple(draw(st.lists(st.integers(1, 300), min_size=2, max_size=6)))
    codes = [[draw(st.integers(0, size - 1)) for size in sizes] for _ in ids]
    given_codes = ItemCodes(np.array(codes, dtype=np.int32), sizes) if draw(st.booleans()) else None
    return Dataset(draw(words), items, tuple(users), sequences, given_codes)


@settings(max_examples=60, deadline=None)
@given(dataset=datasets())
def test_every_dataset_comes_back_from_its_folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round") / "trip"
    save_dataset(dataset, folder)
    assert_same(dataset, load_dataset(folder))


def test_split_holds_out_the_last_two_interactions():
    split = toy().split()
    assert [one.tolist() for one in split.train] == [[0], [4, 0]]
    assert [one.tolist() for one in split.validation_history] == [[0], [4, 0]]
    assert split.validation_target.tolist() == [1, 1]
    assert [one.tolist() for one in split.test_history] == [[0, 1], [4, 0, 1]]
    assert split.test_target.tolist() == [2, 3]


def test_popularity_counts_the_training_part_only():
    assert toy().popularity().tolist() == [2, 0, 0, 0, 1]


def test_popularity_of_whole_sequences_counts_everything():
    assert toy().popularity(exclude_last=0).tolist() == [2, 2, 1, 1, 1]


def test_rows_of_keeps_the_order_asked_for():
    assert toy().rows_of(["30", "10"]).tolist() == [2, 0]


def test_unknown_id_names_itself_and_near_ids():
    with pytest.raises(DatasetError, match=r"unknown item id '3'.*30 \(Heat \(1995\)\)"):
        toy().row_of("3")


def test_unknown_id_that_is_a_title_names_the_item():
    with pytest.raises(DatasetError, match=r"10 \(Toy Story \(1995\)\)"):
        toy().row_of("toy stroy (1995)")


def test_unknown_id_names_three_near_items_at_most():
    items = tuple(Item(f"item{number}", "") for number in range(9))
    with pytest.raises(DatasetError) as caught:
        Dataset("many", items, (), ()).row_of("item")
    assert len(str(caught.value).partition("Near it: ")[2].split(", ")) == 3


def test_unknown_id_near_nothing_points_to_the_table():
    with pytest.raises(DatasetError, match=r"See items\.jsonl"):
        toy().row_of("zzzz")


def test_statistics_give_sizes_lengths_and_sparsity():
    figures = toy().statistics()
    assert (figures["users"], figures["items"], figures["interactions"]) == (2, 5, 7)
    assert (figures["length_min"], figures["length_median"], figures["length_max"]) == (3, 3.5, 4)
    assert figures["sparsity"] == 0.3
    assert figures["items_without_training"] == 3


def test_dataset_without_codes_says_how_to_build_them():
    with pytest.raises(ItemCodesError, match="odllm codes"):
        toy().require_codes()


@pytest.mark.parametrize(
    ("ids", "message"),
    [(("a", "a"), "occurs twice"), (("a", ""), "not empty"), (("a", "b\nc"), "one line"), (("\ud800",), "UTF-8")],
)
def test_ids_that_cannot_name_one_line_are_refused(ids, message):
    with pytest.raises(DatasetError, match=message):
        Dataset("bad", tuple(Item(one, "") for one in ids), (), ())


def test_user_with_two_interactions_is_refused():
    with pytest.raises(DatasetError, match="user 'ann' has 2 interactions"):
        Dataset("short", toy().items, ("ann",), (rows(0, 1),))


def test_row_outside_the_catalogue_is_refused():
    with pytest.raises(DatasetError, match="user 'ann' has an item row outside 0 to 4"):
        Dataset("outside", toy().items, ("ann",), (rows(0, 1, 5),))


def test_codes_for_other_items_are_refused():
    with pytest.raises(ItemCodesError, match="codes for 5 items do not fit 1"):
        Dataset("other", toy().items[:1], (), (), toy_codes())


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        (np.zeros((3, 1), np.int32), (4,), "1 levels; expected 2 to 6"),
        (np.zeros((3, 7), np.int32), (4,) * 7, "7 levels"),
        (np.zeros((3, 2), np.int32), (4, 4, 4), "2 columns"),
        (np.zeros((3, 2), np.int64), (4, 4), "int64"),
        (np.full((3, 2), -1, np.int32), (4, 4), "row 0 has code -1 at level 0; expected 0 to 3"),
        (np.array([[0, 3], [0, 4]], np.int32), (4, 4), "row 1 has code 4 at level 1"),
        (np.zeros((3, 2), np.int32), (4, 0), "below 1"),
    ],
)
def test_codes_that_do_not_fit_their_levels_are_refused(codes, sizes, message):
    with pytest.raises(ItemCodesError, match=message):
        ItemCodes(codes, sizes)


def test_collisions_are_items_minus_different_codes():
    codes = toy_codes()
    assert codes.collisions() == 1
    assert [group.tolist() for group in codes.collision_groups()] == [[0, 1]]
    assert [codes.distinct(depth) for depth in (1, 2)] == [3, 4]


def test_code_statistics_describe_each_level():
    first, second = toy_codes().statistics()["levels"]
    assert (first["size"], first["used"], first["prefixes"], first["largest"]) == (3, 3, 3, 0.4)
    assert (second["size"], second["used"], second["prefixes"]) == (2, 2, 4)
    assert first["perplexity"] == pytest.approx(2**1.5219, abs=0.01)


def test_imported_codes_say_so(folder):
    assert json.loads((folder / "codes.json").read_text())["method"] == {"name": "imported"}


def test_header_keeps_repairs_and_sources(folder):
    header = json.loads((folder / "dataset.json").read_text())
    assert header["repairs"] == {"empty_titles": 2}
    assert header["source"] == {"a.csv": "0" * 64}
    assert header["counts"] == {"users": 2, "items": 5, "interactions": 7}


def test_saving_over_a_folder_needs_overwrite(folder):
    with pytest.raises(ArtifactError, match="--overwrite"):
        save_dataset(toy(), folder)
    save_dataset(toy(), folder, overwrite=True)
    assert load_dataset(folder).codes is None


def test_save_codes_replaces_the_codes(folder):
    codes = ItemCodes(np.zeros((5, 3), dtype=np.int32), (1, 1, 1))
    save_codes(folder, codes, toy().item_ids, {"name": "zeros"}, {})
    assert load_dataset(folder).require_codes().sizes == (1, 1, 1)


def test_save_codes_refuses_codes_of_other_items(folder):
    with pytest.raises(ItemCodesError, match="do not fit"):
        save_codes(folder, toy_codes(), ["1"], {}, {})


def test_folder_that_is_no_dataset_says_how_to_make_one(tmp_path):
    with pytest.raises(DatasetError, match="odllm data import"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("name", ["items.jsonl", "sequences.jsonl"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=name):
        load_dataset(folder)


def test_truncated_header_is_refused_with_its_place(folder):
    path = folder / "dataset.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(DatasetError, match=r"dataset\.json is not valid JSON.*line"):
        load_dataset(folder)


@pytest.mark.parametrize("name", ["items.jsonl", "sequences.jsonl"])
def test_file_cut_within_a_line_is_refused_with_the_line(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-10])
    last = len(path.read_bytes().splitlines())
    with pytest.raises(DatasetError, match=rf"{name}, line {last}: .*truncated"):
        load_dataset(folder)


def test_file_cut_at_the_end_of_a_line_is_noticed_by_the_counts(folder):
    path = folder / "sequences.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(DatasetError, match=r"users=1.*users=2"):
        load_dataset(folder)


def test_line_of_another_type_is_refused(folder):
    path = folder / "items.jsonl"
    path.write_text(path.read_text().replace('"title":"Heat (1995)"', '"title":7'))
    with pytest.raises(DatasetError, match=r"line 3: .*title"):
        load_dataset(folder)


def test_line_that_is_not_utf8_is_refused(folder):
    path = folder / "items.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Heat", b"H\xff\xfet"))
    with pytest.raises(DatasetError, match="line 3"):
        load_dataset(folder)


def test_sequence_with_an_unknown_item_is_refused_with_line_and_id(folder):
    path = folder / "sequences.jsonl"
    path.write_text(path.read_text().replace('"40"', '"99"'))
    with pytest.raises(DatasetError, match=r"line 2: user 'bob' has item '99'"):
        load_dataset(folder)


def test_item_twice_in_the_table_is_refused(folder):
    path = folder / "items.jsonl"
    path.write_text(path.read_text().replace('"id":"20"', '"id":"10"'))
    sequences = folder / "sequences.jsonl"
    sequences.write_text(sequences.read_text().replace('"20"', '"10"'))
    (folder / "codes.json").unlink()
    with pytest.raises(DatasetError, match="'10' occurs twice"):
        load_dataset(folder)


@pytest.mark.parametrize(("version", "message"), [(2, "Install a newer"), (None, "expected 1"), ("1", "expected 1")])
def test_other_schema_versions_are_refused(folder, version, message):
    edit(folder / "dataset.json", lambda header: header.update(schema_version=version))
    with pytest.raises(DatasetError, match=message):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file["codes"].pop("20"), "item '20' has no codes"),
        (lambda file: file["codes"]["20"].append(1), "item '20' has 3 codes; expected 2"),
        (lambda file: file["codes"].update({"99": [0, 0]}), "'99', which is not in items.jsonl"),
        (lambda file: file["codes"]["10"].__setitem__(0, 3), "row 0 has code 3"),
        (lambda file: file["codes"]["10"].__setitem__(0, 2**40), "codes.json"),
        (lambda file: file["codes"]["10"].__setitem__(0, "x"), "codes.json"),
        (lambda file: file.update(schema_version=9), "Install a newer"),
    ],
)
def test_damaged_codes_are_refused(folder, change, message):
    edit(folder / "codes.json", change)
    with pytest.raises(ItemCodesError, match=message):
        load_dataset(folder)


def test_damaged_codes_can_be_left_out(folder):
    (folder / "codes.json").write_text("{")
    assert load_dataset(folder, with_codes=False).codes is None
