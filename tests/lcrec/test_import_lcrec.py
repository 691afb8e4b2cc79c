import json

import pytest

from lcrec.errors import DatasetError
from lcrec.importers.lcrec_format import import_lcrec


@pytest.fixture
def lcrec(tmp_path):
    """Three items with codes of depth two, one user."""
    write(tmp_path / "Toy.inter.json", {"0": [0, 1, 2], "1": [2, 1, 0, 2]})
    write(tmp_path / "Toy.item.json", {str(row): {"title": f"T{row}", "description": ""} for row in range(3)})
    write(tmp_path / "Toy.index.json", {str(row): [f"<a_{row}>", "<b_7>"] for row in range(3)})
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
