"""`odllm finetune`: from a pretrained model's folder to a recommender that the other verbs take."""

import json
import os
import signal

from lcrec.dataset import save_dataset
from lcrec.prompt import read_card

QUICK = (
    "--epochs",
    1,
    "--batch-tokens",
    512,
    "--learning-rate",
    1e-3,
    "--max-steps",
    3,
    "--no-vary",
    "--validation-users",
    8,
)


def test_a_pretrained_model_is_fine_tuned_evaluated_and_exported(odllm, make_base, demo_run, tmp_path):
    dataset, model = demo_run / "dataset", tmp_path / "model"
    code, out, _ = odllm("finetune", make_base(), "--dataset", dataset, "--out", model, "--json", *QUICK)
    assert code == 0
    assert json.loads(out)["steps"] == 3
    assert read_card(model).training["best"]["loss"] == json.loads(out)["best"]["loss"]
    assert odllm("evaluate", model, "--dataset", dataset, "--users", 10)[0] == 0
    assert odllm("export", model, "--dataset", dataset, "--out", tmp_path / "bundle")[0] == 0
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "base_model: pretrained\n" in card
    assert str(tmp_path) not in card
    code, out, _ = odllm("verify", tmp_path / "bundle", "--model", model, "--histories", 5, "--json")
    assert code == 0
    assert json.loads(out)["identical_lists"] == 5


def test_a_family_that_cannot_be_deployed_is_refused(odllm, make_base, demo_run, tmp_path):
    base = make_base("gpt2")
    code, _, err = odllm("finetune", base, "--dataset", demo_run / "dataset", "--out", tmp_path / "model")
    assert code == 2
    assert "'gpt2'" in err
    assert not (tmp_path / "model").exists()


def test_a_dry_run_says_what_it_will_take_and_writes_nothing(odllm, make_base, demo_run, tmp_path):
    arguments = ("finetune", make_base(), "--dataset", demo_run / "dataset", "--dry-run", *QUICK)
    code, out, _ = odllm(*arguments, "--no-measure", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["steps"] == 3
    assert found["memory"]["weights"] == 4 * found["parameters"]
    code, out, _ = odllm(*arguments, "--tokens-per-second", 1000)
    assert code == 0
    assert "1,000 (assumed)" in out
    assert "seqrec: <s> The user has chosen" in out
    assert [path.name for path in tmp_path.iterdir()] == ["pretrained"]


def test_without_a_folder_to_write_nothing_is_begun(odllm, make_base, demo_run):
    code, _, err = odllm("finetune", make_base(), "--dataset", demo_run / "dataset")
    assert code == 2
    assert "--out" in err


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(odllm, make_base, demo_run, tmp_path, monkeypatch):
    from lcrec.finetune.stepping import Stepper

    step, steps = Stepper.step, []

    def interrupted(self, batches, number, done):
        steps.append(number)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batches, number, done)

    monkeypatch.setattr(Stepper, "step", interrupted)
    arguments = ("finetune", make_base(), "--dataset", demo_run / "dataset", "--out", tmp_path / "model", *QUICK)
    code, _, err = odllm(*arguments)
    assert code == 130
    assert "the same command goes on from there" in " ".join(err.split())
    assert odllm(*arguments)[0] == 0
    assert steps == [0, 1, 2]


def test_a_recommender_of_other_codes_of_the_same_sizes_is_taken_further_and_that_is_said(
    odllm, make_base, make_dataset, tmp_path
):
    save_dataset(make_dataset(users=40), tmp_path / "data")
    save_dataset(make_dataset(users=40, seed=1), tmp_path / "other")
    model, out = tmp_path / "model", tmp_path / "further"
    assert odllm("finetune", make_base(), "--dataset", tmp_path / "data", "--out", model, *QUICK)[0] == 0
    code, _, err = odllm("finetune", model, "--dataset", tmp_path / "other", "--out", out, *QUICK)
    assert code == 0
    assert f"{tmp_path / 'other'} has other item codes than {model} was trained with" in err
    code, _, err = odllm("finetune", model, "--dataset", tmp_path / "data", "--out", out, "--overwrite", *QUICK)
    assert code == 0
    assert "other item codes" not in err


def test_an_unknown_key_of_a_recipe_is_named(odllm, make_base, demo_run, tmp_path):
    (tmp_path / "recipe.yaml").write_text("epoch: 3\n")
    arguments = ("finetune", make_base(), "--dataset", demo_run / "dataset", "--out", tmp_path / "model")
    code, _, err = odllm(*arguments, "--config", tmp_path / "recipe.yaml")
    assert code == 2
    assert "unknown key 'epoch'; did you mean 'epochs'?" in " ".join(err.split())
