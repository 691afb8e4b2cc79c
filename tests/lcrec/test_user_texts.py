import dataclasses
import json

import pytest

from lcrec.dataset import load_dataset, save_dataset
from lcrec.errors import DatasetError
from lcrec.importers.lcrec_format import import_lcrec
from lcrec.train import dataset_facts
from lcrec.user_texts import Intention, UserTexts
from odllm_artifact import sha256_file

PREFERENCES = {"0": ["quiet &amp; slow films", "films\nat night", "quiet &amp; slow films"], "1": ["songs"]}
WISHES = {
    "train": {"0": {"item": 1, "inters": [0], "querys": ["something calm", "a river"]}},
    "test": {"0": {"item": 3, "inters": [0, 1, 2], "querys": ["what the test asks", "a sea"]}},
}


@pytest.fixture
def source(tmp_path):
    """Users of LC-Rec's form with texts about them."""
    write(tmp_path / "Toy.inter.json", {"0": [0, 1, 2, 3], "1": [3, 2, 1, 0]})
    write(tmp_path / "Toy.item.json", {str(row): {"title": f"T{row}", "description": ""} for row in range(4)})
    write(tmp_path / "Toy.index.json", {str(row): [f"<a_{row}>", "<b_7>"] for row in range(4)})
    put(tmp_path, user_explicit_preference=PREFERENCES, user_vague_intention=WISHES)
    return tmp_path


def write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def put(folder, **parts):
    write(folder / "Toy.user.json", parts)


def test_texts_beside_the_interactions_are_read_and_tidied(source):
    imported = import_lcrec(source)
    assert imported.dataset.user_texts == {
        "0": UserTexts("0", ("quiet & slow films", "films at night"), (Intention("1", ("something calm", "a river")),)),
        "1": UserTexts("1", ("songs",)),
    }
    assert imported.source["Toy.user.json"] == sha256_file(source / "Toy.user.json")


def test_texts_for_testing_are_not_read_and_counted(source):
    imported = import_lcrec(source)
    assert imported.repairs["intentions_for_testing"] == 1
    assert "what the test asks" not in str(imported.dataset.user_texts)


@pytest.mark.parametrize("item", [2, 3])
def test_a_wish_for_a_held_out_item_is_dropped_and_counted(source, item):
    put(source, user_vague_intention={"train": {"0": {"item": item, "inters": [0], "querys": ["it"]}}})
    imported = import_lcrec(source)
    assert imported.dataset.user_texts == {}
    assert imported.repairs["intentions_of_held_out_items"] == 1


def test_texts_about_users_who_are_left_out_are_counted(source):
    write(source / "Toy.inter.json", {"0": [0, 1, 2, 3], "1": [3, 2]})
    imported = import_lcrec(source)
    assert list(imported.dataset.user_texts) == ["0"]
    assert imported.repairs["texts_of_other_users"] == 1


def test_without_the_file_there_are_no_texts(source):
    (source / "Toy.user.json").unlink()
    assert import_lcrec(source).dataset.user_texts == {}


@pytest.mark.parametrize("part", [{"user_explicit_preference": PREFERENCES}, {"user_vague_intention": WISHES}])
def test_one_part_is_enough(source, part):
    put(source, **part)
    assert "0" in import_lcrec(source).dataset.user_texts


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"users": {}}, "has neither 'user_explicit_preference' nor 'user_vague_intention'"),
        ({"user_explicit_preference": ["x"]}, "'user_explicit_preference' is list; expected an object by user id"),
        ({"user_explicit_preference": {"1": 5}}, "user_explicit_preference, user '1': '5'; expected a list of texts"),
        ({"user_vague_intention": {"train": 5}}, "'train' is int; expected an object"),
        ({"user_vague_intention": {"train": {"0": ["x"]}}}, "user '0': .*expected an object with an item and querys"),
        (
            {"user_vague_intention": {"train": {"0": {"item": 1, "querys": [1]}}}},
            "user '0': .*a list of texts",
        ),
        ({"user_vague_intention": {"train": {"0": {"item": 77, "querys": ["x"]}}}}, "user '0': unknown item id '77'"),
    ],
)
def test_damage_is_named_with_file_and_user(source, parts, message):
    put(source, **parts)
    with pytest.raises(DatasetError, match=message):
        import_lcrec(source)


@pytest.fixture
def folder(source, tmp_path):
    import_lcrec(source).save(tmp_path / "data")
    return tmp_path / "data"


def test_texts_are_kept_in_the_folder(source, folder):
    assert load_dataset(folder).user_texts == import_lcrec(source).dataset.user_texts


def test_a_folder_without_texts_has_no_file_of_them_and_no_count(source, tmp_path):
    dataset = dataclasses.replace(import_lcrec(source).dataset, user_texts={})
    save_dataset(dataset, tmp_path / "bare")
    assert not (tmp_path / "bare" / "user_texts.jsonl").exists()
    assert "user_texts" not in (tmp_path / "bare" / "dataset.json").read_text()
    assert load_dataset(tmp_path / "bare").user_texts == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"user": "9"}', r"user_texts\.jsonl, line 2: user '9' is not in sequences\.jsonl"),
        ('{"user": "0"}', r"user_texts\.jsonl, line 2: user '0' is there twice"),
        ('{"user": "1", "preferences": [1]}', r"user_texts\.jsonl, line 2: Expected `str`"),
        ('{"user": "1", "intentions": [{"item": "77", "queries": []}]}', "line 2: an intention means item '77'"),
        ('{"user": "1"', r"line 2: .*may be truncated"),
    ],
)
def test_a_damaged_line_is_named(folder, line, message):
    path = folder / "user_texts.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n" + line + "\n")
    with pytest.raises(DatasetError, match=message):
        load_dataset(folder)


@pytest.mark.parametrize("kept", [0, 1])
def test_missing_lines_are_noticed_by_the_count(folder, kept):
    path = folder / "user_texts.jsonl"
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:kept]))
    with pytest.raises(DatasetError, match="truncated or was edited"):
        load_dataset(folder)


def test_texts_of_users_who_are_left_out_are_not_saved(source, tmp_path):
    dataset = import_lcrec(source).dataset
    fewer = dataclasses.replace(dataset, users=dataset.users[1:], sequences=dataset.sequences[1:])
    save_dataset(fewer, tmp_path / "fewer")
    assert list(load_dataset(tmp_path / "fewer").user_texts) == ["1"]


def test_a_model_names_the_texts_that_it_may_have_learned_from(folder):
    facts = dataset_facts(load_dataset(folder), folder)
    assert facts["user_texts.jsonl_sha256"] == sha256_file(folder / "user_texts.jsonl")


def test_a_missing_file_is_noticed_by_the_count(folder):
    (folder / "user_texts.jsonl").unlink()
    with pytest.raises(DatasetError, match="truncated or was edited"):
        load_dataset(folder)
