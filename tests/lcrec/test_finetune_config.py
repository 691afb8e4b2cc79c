from pathlib import Path

import pytest
import torch
from finetuning import write_base
from transformers import AutoConfig, LlamaConfig

from lcrec.errors import FineTuningError
from lcrec.finetune.config import FineTuneConfig, read_config
from lcrec.finetune.dry_run import dry_run
from lcrec.finetune.job import Job

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))


def test_without_a_file_the_defaults_hold():
    assert read_config(None, {"epochs": None}) == FineTuneConfig()


def test_options_go_over_the_file(tmp_path):
    (tmp_path / "a.yaml").write_text("epochs: 7\nlearning_rate: 5e-5\n")
    found = read_config(tmp_path / "a.yaml", {"epochs": 2, "users": None})
    assert (found.epochs, found.learning_rate, found.users) == (2, 5e-5, None)


def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path):
    (tmp_path / "a.yaml").write_text("learning_rat: 0.1\n")
    with pytest.raises(
        FineTuningError, match=r"a\.yaml has the unknown key 'learning_rat'; did you mean 'learning_rate'"
    ):
        read_config(tmp_path / "a.yaml", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs: 0", "epochs is 0; expected at least 1"),
        ("learning_rate: -1", "learning_rate is -1.0; expected above 0"),
        ("learning_rate: .inf", "learning_rate is inf; expected above 0"),
        ("new_rows_rate: 0", "new_rows_rate is 0.0; expected above 0"),
        ("weight_decay: .nan", "weight_decay is nan; expected 0 or more"),
        ("warmup: 1", "warmup is 1.0; expected 0 to below 1"),
        ("seed: -1", "seed is -1; expected 0 or more"),
        ("learning: half", "Invalid enum value 'half'"),
        ("epochs: many", "Expected `int`"),
        ("- 1", "holds list; expected names and values"),
        ("a: [", "is no YAML"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(FineTuningError) as error:
        read_config(tmp_path / "a.yaml", {})
    assert words in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FineTuningError, match=r"cannot read .*none\.yaml: No such file"):
        read_config(tmp_path / "none.yaml", {})


@pytest.fixture(scope="module")
def shape_of_7b(tmp_path_factory):
    """The folder of a model of 7 B parameters without its weights: a configuration and a tokenizer."""
    folder = tmp_path_factory.mktemp("7b")
    write_base(folder)
    (folder / "model.safetensors").unlink()
    vocabulary = AutoConfig.from_pretrained(folder).vocab_size
    shape = LlamaConfig(vocab_size=max(32000, vocabulary), max_position_embeddings=2048, dtype=torch.bfloat16)
    shape.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_can_be_run_dry_at_the_size_of_7b(recipe, shape_of_7b, make_dataset, monkeypatch):
    monkeypatch.setattr("lcrec.finetune.assembly.has_bfloat16", lambda: True)  # the recipes are for GPUs
    job = Job(shape_of_7b, make_dataset(users=40), read_config(recipe, {}), lambda config: None)
    found = dry_run(job, tokens_per_second=1000.0)
    assert found.parameters > 6.7e9
    assert found.steps >= 1
    assert found.seconds > 0


@pytest.mark.parametrize(("recipe", "most_gigabytes"), [("llama-7b-one-gpu", 80), ("llama-7b-lora", 40)])
def test_7b_fits_where_its_recipe_says(recipe, most_gigabytes, shape_of_7b, make_dataset, monkeypatch):
    monkeypatch.setattr("lcrec.finetune.assembly.has_bfloat16", lambda: True)
    config = read_config(CONFIGS / f"{recipe}.yaml", {})
    found = dry_run(Job(shape_of_7b, make_dataset(users=40), config, lambda config: None), measure=False)
    assert found.memory.total < most_gigabytes * 1e9
    assert found.other_memory.activations > found.memory.activations


def test_recipes_are_found():
    assert len(RECIPES) == 4
