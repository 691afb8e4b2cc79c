import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcrec.errors import PromptError
from lcrec.prompt import Prompt, PromptText, RecommenderCard, read_card, write_card
from lcrec.tokenizer import build_tokenizer, make_prompt
from odllm_artifact import read_json, write_json

SIZES = (5, 4, 3)
TEXTS = [
    PromptText("<s>", "", ""),
    PromptText("<s> The user has chosen", ",", "; next:"),
    PromptText("<s> history:", " and then ", ""),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("items", [1, 2, 7])
def test_ids_equal_the_tokenizers_for_the_same_text(text, items):
    tokenizer = build_tokenizer(text, SIZES)
    prompt = make_prompt(tokenizer, text, SIZES, max_items=10)
    codes = np.random.default_rng(items).integers(0, SIZES, (items, 3))
    expected = tokenizer(text.render(codes), add_special_tokens=False)["input_ids"]
    assert prompt.encode(codes).tolist() == expected
    assert len(expected) == prompt.length(items)


def test_a_saved_tokenizer_reads_the_same(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = build_tokenizer(TEXTS[1], SIZES)
    tokenizer.save_pretrained(tmp_path)
    text = TEXTS[1].render(np.array([[1, 2, 0]]))
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(text, add_special_tokens=False)["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]


@given(st.integers(1, 30))
def test_only_the_last_items_of_a_long_history_are_read(items):
    prompt = Prompt((1,), (2,), (3,), 4, (9, 9), 10)
    codes = np.random.default_rng(items).integers(0, 9, (items, 2))
    assert prompt.encode(codes).tolist() == prompt.encode(codes[-4:]).tolist()


def test_an_empty_history_is_refused():
    with pytest.raises(PromptError, match="empty"):
        Prompt((1,), (), (), 4, (9, 9), 10).encode(np.zeros((0, 2), int))


def test_codes_of_another_depth_are_refused():
    with pytest.raises(PromptError, match=r"\[history, 2\]"):
        Prompt((1,), (), (), 4, (9, 9), 10).encode(np.zeros((3, 4), int))


def test_a_prompt_without_beginning_is_refused():
    with pytest.raises(PromptError, match="begin-of-sequence"):
        Prompt((), (), (), 4, (9, 9), 10)


def test_a_word_the_tokenizer_lacks_is_refused():
    tokenizer = build_tokenizer(TEXTS[0], SIZES)
    with pytest.raises(PromptError, match="no token for a word"):
        make_prompt(tokenizer, TEXTS[1], SIZES, max_items=5)


def test_card_round_trip_and_newer_schema(tmp_path):
    card = RecommenderCard(Prompt((1,), (), (), 4, (9, 9), 10), TEXTS[0], {"name": "toy"}, {"epochs": 3})
    write_card(card, tmp_path)
    assert read_card(tmp_path) == card
    value = read_json(tmp_path / "recommender.json") | {"schema_version": 2}
    write_json(tmp_path / "recommender.json", value)
    with pytest.raises(PromptError, match="schema version 2"):
        read_card(tmp_path)


def test_a_folder_that_is_no_recommender_is_named(tmp_path):
    with pytest.raises(PromptError, match="not a recommender"):
        read_card(tmp_path)
