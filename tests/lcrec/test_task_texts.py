import numpy as np
import pytest
from small_tokenizers import small_tokenizer, tokenizer_kinds
from tokenizers.pre_tokenizers import Metaspace

from lcrec.items import Item
from lcrec.tasks.cleaning import plain_text, plain_title
from lcrec.tasks.reading import WordReader
from lcrec.tasks.request_ids import Filled, read_request
from lcrec.tasks.templates import RequestTemplate, Wrapper

KINDS = ("byte-level", "prefix-space", "metaspace", "space-before-all", "llama")
WRAPPER = Wrapper("Do it. ", "\nAnswer:", ",", " |")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("A <b>bold</b>\n title ", "A bold title"),
        ("Tom &amp; Jerry &lt;i&gt;live&lt;/i&gt;", "Tom & Jerry live"),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
        ("<a_1><b_2> in a title</s><|im_end|>", "in a title"),
        ("<!-- x --> <br/>", ""),
    ],
)
def test_tags_entities_and_tokens_are_cleaned_out(text, plain):
    assert plain_text(text) == plain


def test_the_name_of_an_item_without_a_title_is_no_title():
    assert plain_title(Item("7", "Item 7")) == ""
    assert plain_title(Item("7", "Item 8")) == "Item 8"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["Item number 7", "'Til dawn (x)", "7th", "...", "é", "?!"])
def test_pieces_put_together_are_what_the_tokenizer_reads_in_one_go(kind, text):
    tokenizer = tokenizer_kinds()[kind]
    reader = WordReader(tokenizer)
    together = [*reader.at_start("The title:"), *reader.texts([text], 99)[0], *reader.after_words("\nnext")]
    assert together == tokenizer(f"The title: {text}\nnext", add_special_tokens=False)["input_ids"]


def test_a_space_that_a_tokenizer_puts_before_every_text_is_not_put_into_the_middle():
    reader = WordReader(small_tokenizer(Metaspace(prepend_scheme="always")))
    assert reader.texts(["number"], 9)[0].tolist() == reader.after_words(" number").tolist()
    assert reader.at_start("number").tolist() == reader.after_words(" number").tolist()


@pytest.mark.parametrize("words", [":", ":::", "a", "a:"])
def test_words_that_a_tokenizer_melts_with_what_they_are_read_behind_keep_all_their_letters(words):
    tokenizer = small_tokenizer(words=[":: :: :: ::: aa aa"])
    assert len(tokenizer("::")["input_ids"]) == 1
    assert tokenizer.decode(WordReader(tokenizer).after_words(words)) == words


def test_long_texts_are_cut_to_their_budget_and_empty_ones_have_no_tokens():
    read = WordReader(small_tokenizer()).texts(["Item", "", "Item " * 20], max_tokens=5)
    assert len(read) == 3
    assert [len(read[row]) for row in range(3)] == [len(read[0]), 0, 5]
    assert read.whole.tolist() == [True, True, False]
    assert read.present.tolist() == [True, False, True]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("request_words", "response"),
    [
        ("Find {title}, please", "{codes}"),
        ("{codes} is {title}", "{codes} and {title}!"),
        ("{{literally}} {title} {description}", " {title}"),
    ],
)
def test_a_filled_template_is_its_text(kind, request_words, response):
    tokenizer = tokenizer_kinds()[kind]
    reader = WordReader(tokenizer)
    values = {"title": "Blue", "description": "a number", "codes": "<a_1><b_2><c_3>"}

    def fill(slot):
        read = reader.after_words if slot == "codes" else lambda words: reader.after_words(f" {words}")
        return Filled(read(values[slot]))

    sample = read_request(RequestTemplate(request_words, response), WRAPPER, tokenizer, reader).encode("x", fill)
    given = f"<s>Do it. {request_words.format(**values)}\nAnswer:"
    answer = response.format(**values)
    expected = given + answer + ("" if response == "{codes}" else "</s>")
    assert sample.ids.tolist() == tokenizer(expected, add_special_tokens=False)["input_ids"]
    # LLaMA's puts spaces of its own behind code tokens.
    assert tokenizer.decode(sample.ids[sample.learned]).split() == expected[len(given) :].split()


def test_a_response_that_was_cut_does_not_teach_to_end_there():
    tokenizer = small_tokenizer()
    template = read_request(RequestTemplate("{title}", " {title}"), WRAPPER, tokenizer, WordReader(tokenizer))
    ids = np.array([5, 6])
    ends = [template.encode("x", lambda _, whole=whole: Filled(ids, whole)).ids[-1] for whole in (True, False)]
    assert ends == [tokenizer.eos_token_id, 6]


def test_braces_in_a_wrapper_are_words():
    tokenizer = small_tokenizer()
    wrapper = Wrapper("{x} ", "}:", ",", " |")
    sample = read_request(RequestTemplate("{title}", "{codes}"), wrapper, tokenizer, WordReader(tokenizer)).encode(
        "x", lambda _: Filled(np.array([5]))
    )
    assert "{x}" in tokenizer.decode(sample.ids)
