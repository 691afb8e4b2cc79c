import numpy as np
import pytest
from small_tokenizers import small_tokenizer, tokenizer_kinds
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase, Replace
from tokenizers.pre_tokenizers import Punctuation, Split, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as Steps
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from lcrec.errors import PromptError
from lcrec.prompt import PromptText, code_token_names
from lcrec.tasks.mixture import TaskMixture, deployed_text
from lcrec.tokenizer import begun, make_prompt

SIZES = (4, 4, 4)
TEXT = PromptText("<s>The user has chosen:", ",", ",")
BARE = PromptText("The user has chosen:", ",", ",")
ALL_ITEM_TASKS = ("seqrec", "item2index", "index2item", "fusionseqrec")


def agrees(tokenizer, text):
    prompt = make_prompt(tokenizer, text, SIZES, max_items=5)
    codes = np.random.default_rng(0).integers(0, 4, (5, 3))
    return prompt.encode(codes).tolist() == tokenizer(text.render(codes), add_special_tokens=False)["input_ids"]


def test_without_begin_of_sequence_token_a_prompt_begins_with_a_word():
    tokenizer = small_tokenizer(begin=None)
    assert begun(tokenizer, BARE) == BARE
    assert agrees(tokenizer, BARE)
    assert tokenizer.decode([make_prompt(tokenizer, BARE, SIZES, 5).prefix_ids[0]]).strip() in "The"


def test_with_begin_of_sequence_token_it_stands_before_the_words():
    tokenizer = small_tokenizer()
    assert begun(tokenizer, BARE) == TEXT
    assert make_prompt(tokenizer, TEXT, SIZES, 5).prefix_ids[0] == tokenizer.bos_token_id


def test_a_prompt_with_neither_is_refused():
    with pytest.raises(PromptError, match="begins with an item; a begin-of-sequence token or a word must stand"):
        make_prompt(small_tokenizer(begin=None), PromptText("", ",", ""), SIZES, 5)


@pytest.mark.parametrize(
    ("begin", "advice"), [(None, "leave it out, the tokenizer has no begin-of-sequence token"), ("<|go|>", "<|go|>")]
)
def test_another_tokenizers_begin_of_sequence_token_is_refused(begin, advice):
    with pytest.raises(PromptError, match=r"begins with <s>, which the tokenizer does not know as a token: ") as error:
        make_prompt(small_tokenizer(begin=begin), TEXT, SIZES, 5)
    assert advice in str(error.value)


def test_left_padding_changes_nothing(make_dataset):
    right, left = small_tokenizer(), small_tokenizer()
    left.padding_side, left.pad_token = "left", "</s>"
    left.backend_tokenizer.enable_padding(direction="left", length=100)
    left.backend_tokenizer.enable_truncation(max_length=7)
    mixtures = [TaskMixture(make_dataset(), one, TEXT, tasks=ALL_ITEM_TASKS) for one in (right, left)]
    assert mixtures[0].prompt == mixtures[1].prompt
    epochs = [[(sample.ids.tolist(), sample.learned.tolist()) for sample in one.epoch(0)] for one in mixtures]
    assert epochs[0] == epochs[1]


def test_missing_code_tokens_are_named():
    tokenizer = small_tokenizer(sizes=(4, 4, 3))
    with pytest.raises(PromptError, match="has no code token <c_3>; add all of them"):
        make_prompt(tokenizer, TEXT, SIZES, 5)


def test_code_tokens_that_are_not_contiguous_are_named():
    tokenizer = small_tokenizer(add_codes=False)
    names = code_token_names(SIZES)
    tokenizer.add_tokens([*names[:4], "between", *names[4:]])
    with pytest.raises(PromptError, match=r"<b_0> has the id \d+, expected \d+, behind <a_3>"):
        make_prompt(tokenizer, TEXT, SIZES, 5)


def test_a_pre_tokenizer_that_splits_code_tokens_is_refused_with_an_example():
    names = ["<unk>", "<s>", *"<>_abc0123", *code_token_names(SIZES)]
    backend = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    backend.pre_tokenizer = Steps([WhitespaceSplit(), Punctuation()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>")
    with pytest.raises(PromptError, match=r"splits code tokens: it reads <a_0> as '<' 'a' '_' '0' '>'\. Add them"):
        make_prompt(tokenizer, PromptText("<s>", "", ""), SIZES, 5)


def test_a_normalizer_that_changes_code_tokens_is_refused_with_an_example():
    names = ["<unk>", "<s>", *code_token_names(SIZES)]
    backend = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    backend.normalizer = Replace("_", "-")
    backend.pre_tokenizer = Split(Regex("<[^<>]+>"), behavior="isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>")
    with pytest.raises(PromptError, match="splits code tokens: it reads <a_0> as '<unk>'"):
        make_prompt(tokenizer, PromptText("<s>", "", ""), SIZES, 5)


def test_code_tokens_that_are_only_read_as_words_of_their_own_are_refused_with_an_example():
    tokenizer = small_tokenizer(add_codes=False)
    tokenizer.add_tokens([AddedToken(name, single_word=True, normalized=False) for name in code_token_names(SIZES)])
    with pytest.raises(PromptError, match="splits code tokens: it reads x<a_0>x as 'x' '<' 'a' '_' '0' '>' 'x'"):
        make_prompt(tokenizer, TEXT, SIZES, 5)


def test_a_normalizer_that_leaves_code_tokens_alone_is_welcome(make_dataset):
    tokenizer = small_tokenizer()
    tokenizer.backend_tokenizer.normalizer = Lowercase()
    assert agrees(tokenizer, TEXT)
    assert len(TaskMixture(make_dataset(), tokenizer, TEXT, tasks=ALL_ITEM_TASKS).epoch(0))


@pytest.mark.parametrize("kind", ["byte-level", "prefix-space", "metaspace", "space-before-all", "llama"])
def test_every_template_can_be_deployed_with_every_kind_of_tokenizer(make_dataset, kind):
    tokenizer = tokenizer_kinds()[kind]
    mixture = TaskMixture(make_dataset(), tokenizer, deployed_text(tokenizer), tasks=ALL_ITEM_TASKS)
    assert len(mixture.templates) >= 10
    assert all(agrees(tokenizer, text) for text in mixture.templates)


def test_a_slow_tokenizer_works_too(make_dataset):
    tokenizer = ByT5Tokenizer()
    assert not tokenizer.is_fast
    tokenizer.add_tokens(code_token_names(SIZES))
    mixture = TaskMixture(make_dataset(), tokenizer, deployed_text(tokenizer), tasks=ALL_ITEM_TASKS)
    for sample in mixture.epoch(0):
        assert sample.learned.any()
    assert agrees(tokenizer, deployed_text(tokenizer))
