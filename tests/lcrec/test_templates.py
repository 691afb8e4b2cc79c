import numpy as np
import pytest

from lcrec.errors import PromptError
from lcrec.prompt import PromptText, RecommenderCard
from lcrec.templates import chosen_prompts
from lcrec.tokenizer import build_tokenizer, make_prompt

SIZES = (4, 4, 4)
WORDS = PromptText("<s> chosen next user before what comes :", ",", "; next what")
TEXTS = (PromptText("<s> chosen", ",", ""), PromptText("<s> user before :", ",", "; next"), PromptText("<s>", "", ":"))


@pytest.fixture
def card():
    prompt = make_prompt(build_tokenizer(WORDS, SIZES), TEXTS[0], SIZES, 5)
    return RecommenderCard(prompt, TEXTS[0], {"name": "toy"}, {}, templates=TEXTS)


@pytest.fixture
def folder(tmp_path):
    build_tokenizer(WORDS, SIZES).save_pretrained(tmp_path)
    return tmp_path


def test_every_template_is_what_the_folders_tokenizer_makes_of_its_words(card, folder):
    tokenizer = build_tokenizer(WORDS, SIZES)
    codes = np.array([[1, 2, 3], [0, 3, 1]])
    prompts = chosen_prompts(card, folder, "all")
    assert list(prompts) == [0, 1, 2]
    for number, prompt in prompts.items():
        expected = tokenizer(TEXTS[number].render(codes), add_special_tokens=False)["input_ids"]
        assert prompt.encode(codes).tolist() == expected


def test_a_number_is_one_of_them(card, folder):
    assert chosen_prompts(card, folder, "2") == {2: chosen_prompts(card, folder, "all")[2]}
    assert chosen_prompts(card, folder, "0") == {0: card.prompt}


def test_the_deployed_prompt_needs_no_tokenizer(card, tmp_path):
    assert chosen_prompts(card, tmp_path, "deployed") == {0: card.prompt}


@pytest.mark.parametrize("template", ["3", "-1", "best", "1.0"])
def test_what_is_no_template_is_refused(card, folder, template):
    with pytest.raises(PromptError, match=r"numbers 0 \(the deployed one\) to 2"):
        chosen_prompts(card, folder, template)


def test_all_of_a_card_without_templates_is_refused(card, folder):
    alone = RecommenderCard(card.prompt, TEXTS[0], {}, {})
    assert chosen_prompts(alone, folder, "0") == {0: card.prompt}
    with pytest.raises(PromptError, match="records no templates"):
        chosen_prompts(alone, folder, "all")
    with pytest.raises(PromptError, match="number 0, the deployed one"):
        chosen_prompts(alone, folder, "1")


def test_a_folder_without_tokenizer_is_refused(card, tmp_path):
    with pytest.raises(PromptError, match="holds no tokenizer"):
        chosen_prompts(card, tmp_path, "1")


def test_a_damaged_tokenizer_is_named(card, folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(PromptError, match="cannot be loaded"):
        chosen_prompts(card, folder, "1")


def test_a_tokenizer_that_reads_the_deployed_words_otherwise_is_refused(card, folder):
    build_tokenizer(PromptText("<s> before chosen user : what", ",", "; next comes"), SIZES).save_pretrained(folder)
    with pytest.raises(PromptError, match="was changed"):
        chosen_prompts(card, folder, "1")
