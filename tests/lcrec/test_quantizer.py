import dataclasses
import shutil

import numpy as np
import pytest
from coded_games import build, dataset_of_games
from text_encoders import write_encoder

from lcrec.dataset import Item, ItemCodes, load_dataset, save_codes, save_dataset
from lcrec.embeddings.loading import load_encoder
from lcrec.errors import QuantizerError
from lcrec.rqvae.building import TextCodesOptions, build_text_codes, save_text_codes
from lcrec.rqvae.quantizer import dataset_quantizer, load_quantizer
from odllm_artifact import ArtifactError, read_json, write_json


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(str(write_encoder(tmp_path_factory.mktemp("encoder") / "bert")))


@pytest.fixture(params=["rqvae", "kmeans"])
def made(request, encoder, tmp_path):
    result, quantizer = build(tmp_path / "data", encoder, method=request.param)
    return tmp_path / "data", result, quantizer


def test_codes_and_quantizer_are_written_together_and_read_back(made, encoder):
    folder, result, quantizer = made
    data = load_dataset(folder)
    np.testing.assert_array_equal(data.require_codes().codes, result.codes.codes)
    loaded = dataset_quantizer(folder)
    np.testing.assert_array_equal(loaded.encode(data.items, encoder), quantizer.encode(data.items, encoder))
    assert loaded.card.code_sizes == (8, 8, 8)
    assert loaded.card.encoder == encoder.facts
    assert read_json(folder / "codes.json")["method"]["quantizer_sha256"] == loaded.sha256


def test_the_encoder_is_found_by_its_name(made):
    folder, _, quantizer = made
    items = [Item("new", "zelda quest 1")]
    np.testing.assert_array_equal(dataset_quantizer(folder).encode(items), quantizer.encode(items))


def test_an_items_own_codes_are_what_its_text_gives_where_nothing_collides(made, encoder):
    folder, result, quantizer = made
    data = load_dataset(folder)
    nearest = quantizer.encode(data.items, encoder)
    same = (nearest == result.codes.codes).all(axis=1)
    changes = sum(result.statistics[key] for key in ("last_code_changed", "moved", "sinkhorn_changed"))
    assert same.sum() >= 60 - changes > 0


def test_the_same_seed_gives_the_same_folder(encoder, tmp_path):
    for name in ("one", "two"):
        build(tmp_path / name, encoder)
    assert (tmp_path / "one" / "codes.json").read_bytes() == (tmp_path / "two" / "codes.json").read_bytes()


def test_collisions_are_kept_parted_by_sinkhorn_or_assigned(encoder, tmp_path):
    data, left = dataset_of_games(repeated=12), {}
    for collisions in ("keep", "sinkhorn", "assign"):
        result, _ = build(tmp_path / collisions, encoder, data, method="kmeans", collisions=collisions)
        left[collisions] = result.statistics["collisions"]
    assert left["keep"] == result.statistics["collisions_before"] > left["sinkhorn"]
    assert left["sinkhorn"] == result.statistics["collisions_after_sinkhorn"] >= 12  # those with equal texts
    assert left["assign"] == 0


def test_a_folder_without_a_quantizer_says_how_to_get_one(tmp_path):
    data = dataset_of_games()
    codes = ItemCodes(np.zeros((60, 2), np.int32), (2, 2))
    save_dataset(dataclasses.replace(data, codes=codes), tmp_path / "data")
    with pytest.raises(QuantizerError, match="odllm codes DATASET --embeddings"):
        dataset_quantizer(tmp_path / "data")


@pytest.mark.parametrize("name", ["quantizer.json", "quantizer.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damage_is_refused_in_words(made, name, damage):
    folder = made[0] / "quantizer"
    content = (folder / name).read_bytes()
    (folder / name).unlink() if damage == "gone" else (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(QuantizerError, match="odllm codes"):
        load_quantizer(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("schema_version", 9, "schema_version 9"), ("code_sizes", [8, 8], "2 levels"), ("kind", "pq", "pq")],
)
def test_a_card_that_does_not_fit_is_refused_in_words(made, key, value, message):
    folder = made[0] / "quantizer"
    write_json(folder / "quantizer.json", read_json(folder / "quantizer.json") | {key: value})
    with pytest.raises(QuantizerError, match=message):
        load_quantizer(folder)


def test_another_network_than_the_card_says_is_refused(encoder, tmp_path):
    build(tmp_path / "data", encoder)
    folder = tmp_path / "data" / "quantizer"
    card = read_json(folder / "quantizer.json")
    card["config"]["latent"] = 5
    write_json(folder / "quantizer.json", card)
    with pytest.raises(QuantizerError, match="another network"):
        load_quantizer(folder)


def test_another_quantizer_than_codes_json_names_is_refused(encoder, tmp_path):
    build(tmp_path / "one", encoder)
    build(tmp_path / "two", encoder, seed=1)
    shutil.rmtree(tmp_path / "one" / "quantizer")
    shutil.copytree(tmp_path / "two" / "quantizer", tmp_path / "one" / "quantizer")
    with pytest.raises(QuantizerError, match="not the quantizer that"):
        dataset_quantizer(tmp_path / "one")


def test_another_encoder_is_refused_in_words(made, tmp_path):
    other = load_encoder(str(write_encoder(tmp_path / "other", seed=1)))
    with pytest.raises(QuantizerError, match="nothing to do with each other"):
        dataset_quantizer(made[0]).encode([Item("new", "zelda")], other)


def test_vectors_of_another_size_are_refused(made):
    with pytest.raises(QuantizerError, match=r"\[items, 32\]"):
        made[2].quantize(np.zeros((2, 7), np.float32))


def test_quantizer_and_codes_of_before_stay_when_the_disk_refuses(made, encoder, monkeypatch):
    folder, result, quantizer = made
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr("lcrec.rqvae.quantizer.save_file", _full_disk)
    with pytest.raises(OSError, match="No space"):
        save_text_codes(folder, load_dataset(folder), result, quantizer)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def _full_disk(tensors, path):
    raise OSError(28, "No space left on device")


def test_codes_of_other_users_histories_take_the_quantizer_away(made):
    folder, result, _ = made
    save_codes(folder, result.codes, load_dataset(folder).item_ids, {"name": "other"}, {})
    with pytest.raises(QuantizerError, match="not the quantizer that"):
        dataset_quantizer(folder)


def test_options_that_do_not_exist_are_refused(encoder):
    data = dataset_of_games()
    vectors = np.zeros((60, 32), np.float32)
    with pytest.raises(QuantizerError, match="guess"):
        build_text_codes(data, vectors, encoder.facts, TextCodesOptions(collisions="guess"))


def test_nothing_is_written_over_a_file(made):
    folder, result, quantizer = made
    shutil.rmtree(folder / "quantizer")
    (folder / "quantizer").write_text("mine")
    with pytest.raises(ArtifactError, match="is a file"):
        save_text_codes(folder, load_dataset(folder), result, quantizer)


@pytest.mark.parametrize("method", ["kmeans", "rqvae"])
def test_vectors_that_are_no_numbers_are_refused(encoder, method):
    vectors = np.full((60, 32), np.nan, np.float32)
    with pytest.raises(QuantizerError, match="not finite"):
        build_text_codes(dataset_of_games(), vectors, encoder.facts, TextCodesOptions(method=method))


def test_a_datasets_folder_is_told_from_its_quantizers(made):
    with pytest.raises(QuantizerError, match=r"give .*data/quantizer"):
        load_quantizer(made[0])
