"""`odllm base`: from a pretrained model's folder to a recommender that the other verbs take."""

import json


def test_a_pretrained_model_is_given_codes_compressed_exported_and_verified(odllm, make_base, demo_run, tmp_path):
    dataset, recommender = demo_run / "dataset", tmp_path / "base"
    code, out, _ = odllm("base", make_base("qwen2"), "--dataset", dataset, "--out", recommender, "--json")
    assert code == 0
    assert json.loads(out)["prompt_text"]["prefix"] == "<s>The user has chosen, in this order:"
    small, bundle = tmp_path / "small", tmp_path / "bundle"
    assert odllm("compress", recommender, "--dataset", dataset, "--out", small)[0] == 0
    assert odllm("export", small, "--dataset", dataset, "--out", bundle)[0] == 0
    code, out, _ = odllm("verify", bundle, "--model", small, "--histories", 10, "--json")
    assert code == 0
    assert json.loads(out)["identical_lists"] == 10


def test_the_words_can_be_chosen(odllm, make_base, demo_run, tmp_path):
    options = ("--prefix", "<s>", "--separator", "", "--suffix", " Next:", "--max-items", 7)
    code, out, _ = odllm(
        "base", make_base("qwen2"), "--dataset", demo_run / "dataset", "--out", tmp_path / "base", "--json", *options
    )
    assert code == 0
    assert json.loads(out)["prompt_text"] == {"prefix": "<s>", "separator": "", "suffix": " Next:"}
    assert json.loads(out)["prompt"]["max_items"] == 7


def test_a_family_that_cannot_be_deployed_is_refused(odllm, make_base, demo_run, tmp_path):
    model = make_base("gpt2")
    code, _, err = odllm("base", model, "--dataset", demo_run / "dataset", "--out", tmp_path / "base")
    assert code == 2
    assert "'gpt2'" in err
    assert not (tmp_path / "base").exists()


def test_a_name_that_is_nothing_is_refused(odllm, demo_run, tmp_path):
    code, _, err = odllm("base", "no/such/model", "--dataset", demo_run / "dataset", "--out", tmp_path / "base")
    assert code == 2
    assert "no/such/model cannot be loaded" in err.replace("\n", " ")
