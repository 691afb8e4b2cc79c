import dataclasses

import pytest

from lcrec.dataset import save_dataset
from lcrec.dataset_match import check_code_sizes, compare_data
from lcrec.errors import ItemCodesError
from lcrec.prompt import PromptText, RecommenderCard
from lcrec.train import dataset_facts


@pytest.fixture
def trained(make_dataset, make_prompt, tmp_path):
    """The folder of a dataset, and the card of a model trained on it."""
    data, folder = make_dataset(), tmp_path / "data"
    save_dataset(data, folder)
    return folder, RecommenderCard(make_prompt(), PromptText("<s>", ",", ";"), dataset_facts(data, folder), {})


def test_the_same_data_has_nothing_to_say(trained, tmp_path):
    folder, card = trained
    assert compare_data(card, tmp_path, folder) is None


def test_a_card_without_hashes_is_not_compared(trained, tmp_path):
    folder, card = trained
    assert compare_data(RecommenderCard(card.prompt, card.prompt_text, {"name": "toy"}, {}), tmp_path, folder) is None


def test_the_same_codes_with_other_sequences_are_said(make_dataset, trained, tmp_path):
    _, card = trained
    save_dataset(dataclasses.replace(make_dataset(), **_other_users(make_dataset)), tmp_path / "more")
    assert "other sequences" in compare_data(card, tmp_path, tmp_path / "more")


def _other_users(make_dataset):
    more = make_dataset(users=20, seed=3)
    return {"users": more.users, "sequences": more.sequences}


def test_other_codes_are_refused_unless_wanted(make_dataset, trained, tmp_path):
    _, card = trained
    save_dataset(make_dataset(seed=5), tmp_path / "other")
    with pytest.raises(ItemCodesError, match=r"other item codes than .* \(toy, by the hash of codes.json\)"):
        compare_data(card, tmp_path / "model", tmp_path / "other")
    assert "other item codes" in compare_data(card, tmp_path / "model", tmp_path / "other", any_codes=True)


@pytest.mark.parametrize(("sizes", "words"), [((4, 4), "2 levels, those of .* have 3"), ((4, 4, 5), r"\[4, 4, 5\]")])
def test_codes_of_other_depth_or_sizes_are_refused(make_dataset, trained, tmp_path, sizes, words):
    _, card = trained
    with pytest.raises(ItemCodesError, match=words):
        check_code_sizes(card.prompt.code_sizes, tmp_path, make_dataset(sizes=sizes))
