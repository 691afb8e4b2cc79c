import gzip
import json

import numpy as np
import pytest
from coded_games import build
from text_encoders import write_encoder

from lcrec.catalog import build_catalog
from lcrec.cold_start import check_codes_of_model, drop_duplicates, extend, save_extension
from lcrec.dataset import Item, load_dataset
from lcrec.dataset_match import compare_data
from lcrec.embeddings.loading import load_encoder
from lcrec.errors import DatasetError, ItemCodesError, QuantizerError
from lcrec.importers.new_items import read_new_items
from lcrec.prompt import PromptText, RecommenderCard
from lcrec.rqvae.quantizer import dataset_quantizer
from lcrec.train import dataset_facts
from odllm_artifact import read_json, write_json

NEW = [Item("n0", "zelda quest 1000"), Item("n1", "racing wheel 77", "for kart racers"), Item("n2", "something else")]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(str(write_encoder(tmp_path_factory.mktemp("encoder") / "bert")))


@pytest.fixture
def data(encoder, tmp_path):
    build(tmp_path / "data", encoder)
    return tmp_path / "data"


def grown(folder, out, new=NEW, **options):
    extension = extend(load_dataset(folder), new, dataset_quantizer(folder), **options)
    save_extension(extension, folder, out)
    return extension


def test_old_items_keep_rows_and_codes_and_new_ones_come_behind(data, tmp_path):
    old = load_dataset(data)
    grown(data, tmp_path / "larger")
    larger = load_dataset(tmp_path / "larger")
    assert larger.items == (*old.items, *NEW)
    np.testing.assert_array_equal(larger.require_codes().codes[:60], old.require_codes().codes)
    assert larger.users == old.users
    for one, other in zip(larger.sequences, old.sequences, strict=True):
        np.testing.assert_array_equal(one, other)


def test_new_items_get_the_codes_of_their_text_or_the_nearest_free_ones(data, encoder):
    old, quantizer = load_dataset(data), dataset_quantizer(data)
    new = [*NEW, Item("copy", "zelda: quest (1)!", "new edition")]
    extension = extend(old, new, quantizer)
    nearest = quantizer.encode(new, encoder)
    taken = set(map(tuple, old.require_codes().codes.tolist()))
    for placed, near in zip(extension.placed, nearest.tolist(), strict=True):
        assert placed.nearest == tuple(near)
        assert placed.codes == placed.nearest or tuple(near) in taken
        assert placed.codes not in taken
        taken.add(placed.codes)


def test_shared_codes_are_the_nearest_ones(data):
    extension = extend(load_dataset(data), NEW, dataset_quantizer(data), share=True)
    assert all(placed.codes == placed.nearest for placed in extension.placed)


def test_duplicates_by_id_and_by_words_are_left_out_and_named(data):
    old = load_dataset(data)
    new = [
        Item("i3", "whatever"),
        Item("a", f"  {old.items[7].title.upper()}! "),
        Item("b", "brand new"),
        Item("c", "Brand  new."),
        Item("b", "another"),
    ]
    kept, dropped = drop_duplicates(old.items, new)
    assert [item.id for item in kept] == ["b"]
    assert [(one.id, one.of, one.same) for one in dropped] == [
        ("i3", "i3", "id"), ("a", "i7", "text"), ("c", "b", "text"), ("b", "b", "id"),
    ]  # fmt: skip
    counts = extend(old, new, dataset_quantizer(data)).counts()
    assert (counts["items_before"], counts["added"], counts["items"]) == (60, 1, 61)
    assert (counts["same_id"], counts["same_text"]) == (2, 2)


def test_an_evaluation_on_the_larger_dataset_says_what_was_added(data, tmp_path, make_prompt):
    card = RecommenderCard(make_prompt(), PromptText("<s>", ",", ";"), dataset_facts(load_dataset(data), data), {})
    grown(data, tmp_path / "larger")
    assert "has 3 items that" in compare_data(card, tmp_path / "model", tmp_path / "larger")


def test_only_duplicates_add_nothing(data, tmp_path):
    extension = grown(data, tmp_path / "larger", [Item("i3", "whatever")])
    assert extension.placed == []
    assert load_dataset(tmp_path / "larger").items == load_dataset(data).items


def test_the_catalogue_of_the_larger_dataset_holds_the_old_paths(data, tmp_path):
    grown(data, tmp_path / "larger")
    old, larger = load_dataset(data), load_dataset(tmp_path / "larger")
    catalog = build_catalog(larger.require_codes().codes, larger.require_codes().sizes, larger.item_ids)
    np.testing.assert_array_equal(catalog.codes[:60], old.require_codes().codes)
    assert catalog.items == 63


def test_a_model_of_the_old_dataset_takes_the_larger_one_and_one_larger_still(data, tmp_path):
    facts = dataset_facts(load_dataset(data), data)
    assert check_codes_of_model(facts, data) == 0
    grown(data, tmp_path / "larger")
    assert check_codes_of_model(facts, tmp_path / "larger") == 3
    grown(tmp_path / "larger", tmp_path / "largest", [Item("n9", "yet another")])
    assert check_codes_of_model(facts, tmp_path / "largest") == 4
    later = dataset_facts(load_dataset(tmp_path / "larger"), tmp_path / "larger")
    assert check_codes_of_model(later, tmp_path / "largest") == 1
    with pytest.raises(ItemCodesError, match="train again"):
        check_codes_of_model(later, data)


def test_a_model_that_says_nothing_of_its_data_is_not_held_to_any(data):
    assert check_codes_of_model({"name": "toy"}, data) == 0


def test_a_dataset_coded_anew_is_refused(data, encoder, tmp_path):
    facts = dataset_facts(load_dataset(data), data)
    build(tmp_path / "other", encoder, seed=1)
    with pytest.raises(ItemCodesError, match="train again"):
        check_codes_of_model(facts, tmp_path / "other")


def test_a_changed_code_of_an_old_item_is_refused(data, tmp_path):
    facts = dataset_facts(load_dataset(data), data)
    grown(data, tmp_path / "larger")
    path = tmp_path / "larger" / "codes.json"
    content = read_json(path)
    content["codes"]["i5"] = [code ^ 1 for code in content["codes"]["i5"]]
    write_json(path, content)
    with pytest.raises(ItemCodesError, match="one of the first 60 items"):
        check_codes_of_model(facts, tmp_path / "larger")


def test_items_in_other_rows_are_refused(data, tmp_path):
    facts = dataset_facts(load_dataset(data), data)
    grown(data, tmp_path / "larger")
    path = tmp_path / "larger" / "items.jsonl"
    first, second, *rest = path.read_text().splitlines()
    path.write_text("\n".join([second, first, *rest]) + "\n")
    with pytest.raises(ItemCodesError, match="another place"):
        check_codes_of_model(facts, tmp_path / "larger")


def test_a_quantizer_of_another_depth_is_refused(data, encoder, tmp_path):
    build(tmp_path / "other", encoder, levels=2)
    with pytest.raises(QuantizerError, match="sizes"):
        extend(load_dataset(data), NEW, dataset_quantizer(tmp_path / "other"))


def test_new_items_are_read_from_lines_and_from_tables(tmp_path):
    lines = tmp_path / "new.jsonl"
    lines.write_text(
        json.dumps({"id": "a", "title": "Pok&eacute;mon", "price": 3}) + "\n\n" + '{"id":"b","text":"t"}\n'
    )
    assert read_new_items(lines) == [Item("a", "Pokémon"), Item("b", "", "t")]
    table = tmp_path / "new.csv"
    table.write_text('text,id,title\n"red, blue",a,Pokémon\n')
    assert read_new_items(table) == [Item("a", "Pokémon", "red, blue")]
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + lines.read_bytes()))
    assert read_new_items(tmp_path / "packed.jsonl.gz") == read_new_items(lines)
    (tmp_path / "bare.csv").write_text("id\ttitle\na\tPokémon\n")
    assert read_new_items(tmp_path / "bare.csv") == [Item("a", "Pokémon")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"id":"a","title":"t"}\n{"id"', "line 2"),
        ("a.jsonl", '{"title":"t"}', "line 1"),
        ("a.jsonl", '{"id":"","title":"t"}', "the id is ''"),
        ("a.jsonl", '{"id":"a","title":" "}', "has no words"),
        ("a.jsonl", "\n", "holds no items"),
        ("a.csv", "id,name\na,b\n", "no column 'title'"),
        ("a.csv", "id,title\na\n", "line 2"),
        ("gone.jsonl", None, "cannot read"),
    ],
)
def test_damaged_new_items_are_refused_with_their_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_new_items(tmp_path / name)
