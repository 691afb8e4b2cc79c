import json
import shutil

import numpy as np
import pytest
from coded_games import build, dataset_of_games
from text_encoders import write_encoder

from lcrec.dataset import load_dataset, save_dataset
from lcrec.embeddings.loading import load_encoder
from lcrec.items import Item
from lcrec.prompt import PromptText, RecommenderCard, read_card, write_card
from lcrec.rqvae.quantizer import load_quantizer
from lcrec.train import dataset_facts
from odllm_artifact import sha256_folder
from odllm_export.bundle import read_items

QUICK = ("--epochs", 4, "--batch", 32, "--levels", 3, "--width", 8)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture
def data(tmp_path):
    save_dataset(dataset_of_games(), tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def coded(bert, tmp_path):
    """A dataset whose codes a quantizer made."""
    build(tmp_path / "data", load_encoder(str(bert)), method="kmeans")
    return tmp_path / "data"


@pytest.fixture
def exported(odllm, coded, make_model_folder, make_prompt, tmp_path):
    """A bundle of the dataset's items, and the model whose card names the dataset."""
    model, prompt = make_model_folder("model", sizes=(8, 8, 8))
    facts = dataset_facts(load_dataset(coded), coded)
    write_card(RecommenderCard(prompt, PromptText("<s>", ",", ";"), facts, {}), model)
    code, _, err = odllm("export", model, "--dataset", coded, "--out", tmp_path / "bundle")
    assert code == 0, err
    return tmp_path / "bundle", model


def new_file(tmp_path, *titles):
    path = tmp_path / "new.jsonl"
    path.write_text("".join(json.dumps({"id": f"n{row}", "title": title}) + "\n" for row, title in enumerate(titles)))
    return path


@pytest.mark.parametrize("method", ["kmeans", "rqvae"])
def test_codes_from_texts_write_codes_and_quantizer_and_say_how(odllm, data, bert, method):
    options = QUICK if method == "rqvae" else QUICK[4:]
    code, out, err = odllm("codes", data, "--method", method, "--embeddings", bert, "--json", *options)
    assert code == 0, err
    printed = json.loads(out)
    assert printed["statistics"]["collisions"] == 0
    assert ("epochs" in printed) == (method == "rqvae")
    quantizer = load_quantizer(data / "quantizer")
    assert quantizer.sha256 == printed["method"]["quantizer_sha256"]
    assert quantizer.card.kind == method
    assert load_dataset(data).require_codes().sizes == (8, 8, 8)
    assert not (data / "quantizer.partial").exists()


def test_the_table_shows_epochs_and_levels(odllm, data, bert):
    code, out, err = odllm("codes", data, "--method", "rqvae", "--embeddings", bert, *QUICK)
    assert code == 0, err
    assert "before collisions were resolved" in out
    assert "0 collisions" in out
    assert "rounds of Sinkhorn" in " ".join(err.split())


def test_codes_of_sequences_take_the_place_of_codes_and_quantizer(odllm, coded):
    assert odllm("codes", coded, "--overwrite")[0] == 0
    assert not (coded / "quantizer").exists()


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(odllm, data, bert, tmp_path, monkeypatch):
    from lcrec.rqvae import training

    save_dataset(dataset_of_games(), tmp_path / "whole")
    arguments = ("--method", "rqvae", "--embeddings", bert, "--epochs", 12, *QUICK[2:])
    assert odllm("codes", tmp_path / "whole", *arguments)[0] == 0
    train_epoch = training._train_epoch

    def stop(run, *rest):
        if run.epoch == 7:
            raise KeyboardInterrupt
        return train_epoch(run, *rest)

    monkeypatch.setattr(training, "_train_epoch", stop)
    code, _, err = odllm("codes", data, *arguments)
    assert code == 130
    assert "goes on from there" in " ".join(err.split())
    assert not (data / "codes.json").exists()
    assert (data / "quantizer.partial" / "training.pt").is_file()
    monkeypatch.setattr(training, "_train_epoch", train_epoch)
    assert odllm("codes", data, *arguments)[0] == 0
    assert (data / "codes.json").read_bytes() == (tmp_path / "whole" / "codes.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 3), "--epochs has no meaning without --method rqvae"),
        (("--no-restart-dead",), "--restart-dead has no meaning without --method rqvae"),
        (("--layers", "64"), "--layers has no meaning without --method rqvae"),
        (("--collisions", "keep"), "--collisions has no meaning without --embeddings"),
        (("--method", "rqvae", "--layers", "64,x"), "--layers is '64,x'"),
        (("--method", "rqvae", "--embeddings", "{}"), "no model that can be loaded"),
        (("--method", "vq"), "--method"),
    ],
)
def test_wrong_usage_ends_with_two_and_writes_no_codes(odllm, data, tmp_path, arguments, message, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    code, out, err = odllm("codes", data, *(str(part).format(tmp_path) for part in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert not (data / "codes.json").exists()


def test_added_items_are_printed_with_what_was_left_out(odllm, coded, tmp_path):
    known = load_dataset(coded).items[4].title
    path = new_file(tmp_path, "zelda quest 99", known, "racing wheel 12 deluxe")
    code, _, err = odllm("data", "add-items", coded, path, "--out", tmp_path / "larger")
    assert code == 0, err
    words = " ".join(err.split())
    assert "n1: left out, the same words as i4" in words
    assert "2 items added, 0 with a known id and 1 with known words left out; now 62 items" in words


def test_added_items_as_json_have_codes(odllm, coded, tmp_path):
    arguments = (coded, new_file(tmp_path, "zelda quest 99"), "--out", tmp_path / "larger")
    code, out, _ = odllm("data", "add-items", *arguments, "--json")
    assert code == 0
    printed = json.loads(out)
    assert printed["placed"][0]["codes"] == load_dataset(tmp_path / "larger").require_codes().codes[60].tolist()
    assert (printed["added"], printed["items"], printed["duplicates"]) == (1, 61, [])


def test_items_cannot_be_added_in_place_or_without_a_quantizer(odllm, coded, tmp_path):
    path = new_file(tmp_path, "zelda quest 99")
    before = sha256_folder(coded)
    code, _, err = odllm("data", "add-items", coded, path, "--out", coded, "--overwrite")
    assert code == 2
    assert "needs it as it is" in " ".join(err.split())
    again = coded / ".." / coded.name
    assert odllm("data", "add-items", coded, path, "--out", again, "--overwrite")[0] == 2
    assert sha256_folder(coded) == before
    assert odllm("codes", coded, "--overwrite")[0] == 0
    code, _, err = odllm("data", "add-items", coded, path, "--out", tmp_path / "larger")
    assert code == 2
    assert "--embeddings minilm" in " ".join(err.split())
    assert not (tmp_path / "larger").exists()


def test_a_model_is_exported_with_added_items_and_not_with_other_codes(odllm, coded, exported, tmp_path):
    _, model = exported
    path = new_file(tmp_path, "zelda quest 99", "racing wheel 12 deluxe")
    assert odllm("data", "add-items", coded, path, "--out", tmp_path / "larger")[0] == 0
    code, _, err = odllm("export", model, "--dataset", tmp_path / "larger", "--out", tmp_path / "more")
    assert code == 0, err
    assert "2 items of" in " ".join(err.split())
    assert [item["id"] for item in read_items(tmp_path / "more")][60:] == ["n0", "n1"]
    assert odllm("evaluate", tmp_path / "more", "--dataset", tmp_path / "larger", "--no-baselines")[0] == 0
    assert odllm("codes", tmp_path / "larger", "--levels", 3, "--width", 8, "--overwrite")[0] == 0
    code, _, err = odllm("export", model, "--dataset", tmp_path / "larger", "--out", tmp_path / "other")
    assert code == 2
    assert "has other item codes than the model was trained with" in " ".join(err.split())
    assert not (tmp_path / "other").exists()


def test_a_bundle_and_a_dataset_give_a_new_item_the_same_codes(odllm, coded, exported, tmp_path):
    bundle, _ = exported
    path = new_file(tmp_path, "zelda quest 99")
    assert odllm("data", "add-items", coded, path, "--out", tmp_path / "larger")[0] == 0
    words = ("--id", "n0", "--title", "zelda quest 99")
    code, out, err = odllm("catalog", "add", bundle, *words, "--quantizer", coded / "quantizer", "--json")
    assert code == 0, err
    (placed,) = json.loads(out)["placed"]
    assert placed["source"] == "quantizer"
    assert placed["codes"] == load_dataset(tmp_path / "larger").require_codes().codes[60].tolist()


def test_a_text_counts_for_an_items_codes_in_a_bundle(odllm, coded, exported, tmp_path):
    bundle, _ = exported
    lines = [
        {"id": "a", "title": "q"},
        {"id": "b", "title": "q", "text": "memory card"},
        {"id": "c", "title": "r", "like": "i1"},
    ]
    path = tmp_path / "new.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, err = odllm("catalog", "add", bundle, "--file", path, "--quantizer", coded / "quantizer", "--json")
    assert code == 0, err
    placed = json.loads(out)["placed"]
    assert [one["source"] for one in placed] == ["quantizer", "quantizer", "like"]
    alone, described = load_quantizer(coded / "quantizer").encode([Item("a", "q"), Item("b", "q", "memory card")])
    known = load_dataset(coded).require_codes().codes
    for one, nearest in zip(placed, (alone, described), strict=False):
        free = not (known == nearest).all(axis=1).any()
        assert (one["codes"] == nearest.tolist()) == free
        np.testing.assert_array_equal(one["codes"][:2], nearest[:2])


def test_a_bundle_refuses_another_quantizer_and_an_item_without_words(odllm, coded, exported, bert, tmp_path):
    bundle, _ = exported
    before = sha256_folder(bundle)
    build(tmp_path / "other", load_encoder(str(bert)), method="kmeans", seed=1)
    arguments = ("catalog", "add", bundle, "--id", "new", "--title", "zelda", "--quantizer")
    code, _, err = odllm(*arguments, tmp_path / "other" / "quantizer")
    assert code == 2
    assert "were made with the quantizer" in " ".join(err.split())
    code, _, err = odllm("catalog", "add", bundle, "--id", "new", "--quantizer", coded / "quantizer")
    assert code == 2
    assert "has no words" in " ".join(err.split())
    assert sha256_folder(bundle) == before


def test_the_card_of_a_model_names_the_quantizer(exported, coded):
    assert read_card(exported[1]).dataset["quantizer_sha256"] == load_quantizer(coded / "quantizer").sha256


def test_a_bundle_of_codes_without_a_quantizer_takes_none(odllm, coded, make_model_folder, make_prompt, tmp_path):
    """Sizes alone do not make a quantizer's codes those of the bundle."""
    quantizer = shutil.copytree(coded / "quantizer", tmp_path / "quantizer")
    assert odllm("codes", coded, "--levels", 3, "--width", 8, "--overwrite")[0] == 0
    model, prompt = make_model_folder("model", sizes=(8, 8, 8))
    write_card(
        RecommenderCard(prompt, PromptText("<s>", ",", ";"), dataset_facts(load_dataset(coded), coded), {}), model
    )
    assert odllm("export", model, "--dataset", coded, "--out", tmp_path / "bundle")[0] == 0
    before = sha256_folder(tmp_path / "bundle")
    arguments = ("catalog", "add", tmp_path / "bundle", "--id", "new", "--title", "zelda", "--quantizer", quantizer)
    code, _, err = odllm(*arguments)
    assert code == 2
    assert "were not made from texts" in " ".join(err.split())
    assert sha256_folder(tmp_path / "bundle") == before
