"""`odllm evaluate`: templates, checks of what is asked, files, several processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lcrec.dataset import load_dataset, save_dataset
from lcrec.metrics import distinct_codes
from lcrec.prompt import PromptText
from lcrec.tokenizer import build_tokenizer, make_prompt
from odllm.evaluation import evaluate_target
from odllm.evaluation_targets import EvaluationProtocol, bundle_ranker
from odllm_artifact import read_json, write_json
from odllm_export.catalog_edit import add_items
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.new_items import NewItem
from odllm_export.runtime import Recommender

SIZES = (4, 4, 4)
TEXTS = (PromptText("<s> chosen", ",", ""), PromptText("<s> user :", ",", "; next"))
USERS = 45


@pytest.fixture
def case(tmp_path, make_dataset, make_model_folder):
    """A recommender with random weights and two templates, and the dataset that it speaks."""
    save_dataset(make_dataset(users=USERS), tmp_path / "data")
    tokenizer = build_tokenizer(PromptText("<s> chosen user :", ",", "; next"), SIZES)
    model, _ = make_model_folder(prompt=make_prompt(tokenizer, TEXTS[0], SIZES, 5))
    tokenizer.save_pretrained(model)
    card = read_json(model / "recommender.json")
    words = [{"prefix": text.prefix, "separator": text.separator, "suffix": text.suffix} for text in TEXTS]
    write_json(model / "recommender.json", card | {"templates": words, "prompt_text": words[0]})
    return model, tmp_path / "data"


def test_all_templates_are_evaluated_one_by_one_and_averaged(case):
    model, data = case
    found = evaluate_target(model, load_dataset(data), EvaluationProtocol(template="all"), baselines=False)
    row = found.rows["model"]
    alone = [
        evaluate_target(model, load_dataset(data), EvaluationProtocol(template=number), baselines=False)
        for number in ("0", "1")
    ]
    assert not np.array_equal(found.ranks[0], found.ranks[1])
    for number, one in enumerate(alone):
        np.testing.assert_array_equal(found.ranks[number], one.ranks[number])
        assert row["templates"][number].items() >= {"template": number, "prefix": TEXTS[number].prefix}.items()
    for name in ("hit_rate@1", "hit_rate@10", "ndcg@5", "ndcg@10", "illegal_rate"):
        figures = [one.rows["model"][name] for one in alone]
        assert [each[name] for each in row["templates"]] == figures
        assert row[name] == pytest.approx(np.mean(figures))
        assert row["spread"][name] == [min(figures), max(figures)]


def test_the_deployed_template_is_the_first(case):
    model, data = case
    found = [
        evaluate_target(model, load_dataset(data), EvaluationProtocol(template=template), baselines=False).ranks
        for template in ("deployed", "0")
    ]
    np.testing.assert_array_equal(found[0][0], found[1][0])


def test_generation_settings_of_the_checkpoint_change_nothing(case):
    model, data = case
    before = evaluate_target(model, load_dataset(data), baselines=False)
    hostile = {
        "do_sample": True,
        "temperature": 9.0,
        "top_k": 1,
        "top_p": 0.01,
        "num_beams": 3,
        "repetition_penalty": 5.0,
        "no_repeat_ngram_size": 1,
        "length_penalty": -7.0,
        "max_new_tokens": 1,
        "eos_token_id": 20,
        "suppress_tokens": list(range(10, 22)),
        "begin_suppress_tokens": list(range(10, 22)),
        "forced_eos_token_id": 3,
    }
    write_json(model / "generation_config.json", hostile)
    after = evaluate_target(model, load_dataset(data), baselines=False)
    np.testing.assert_array_equal(before.ranks[0], after.ranks[0])
    assert before.rows == after.rows


def test_ranks_and_json_are_written(odllm, case, tmp_path):
    model, data = case
    files = ("--out", tmp_path / "e.json", "--ranks", tmp_path / "ranks.jsonl")
    code, out, _ = odllm("evaluate", model, "--dataset", data, "--template", "all", "--json", "--save", *files)
    assert code == 0
    assert json.loads(out) == read_json(tmp_path / "e.json")
    assert read_json(model / "evaluation.json") == json.loads(out)["model"]
    lines = [json.loads(line) for line in (tmp_path / "ranks.jsonl").read_text().splitlines()]
    assert [line["user"] for line in lines] == 2 * list(load_dataset(data).users)
    for number, each in enumerate(json.loads(out)["model"]["templates"]):
        ranks = [line["rank"] for line in lines if line["template"] == number]
        assert np.mean([0 <= rank < 10 for rank in ranks]) == each["hit_rate@10"]


def test_the_table_has_a_row_a_template(odllm, case):
    model, data = case
    code, out, _ = odllm("evaluate", model, "--dataset", data, "--template", "all", "--users", 10)
    assert code == 0
    assert all(word in out for word in ("mean of all templates", "templates of model", "min", "max", "NDCG@10"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--template", "2"), "numbers 0 (the deployed one) to 1"),
        (("--split", "train"), "split 'train' is not one of test, validation"),
        (("--illegal", "first"), "illegal 'first' is not one of kept, last"),
        (("--scoring", "logits"), "scoring 'logits' is not one of codes, vocab"),
        (("--constraint", "none"), "constraint 'none' is not one of trie, levels"),
        (("--device", "abacus"), "device 'abacus'"),
        (("--device", "cuda:99"), "device 'cuda:99'"),
    ],
)
def test_what_does_not_exist_is_refused(odllm, case, arguments, message):
    model, data = case
    code, out, err = odllm("evaluate", model, "--dataset", data, *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert not out


def test_a_dataset_of_other_depth_is_refused(odllm, case, make_dataset, tmp_path):
    save_dataset(make_dataset(sizes=(4, 4)), tmp_path / "flat")
    code, _, err = odllm("evaluate", case[0], "--dataset", tmp_path / "flat")
    assert code == 2
    assert "2 levels" in err


def test_other_codes_are_refused_and_taken_when_wanted(odllm, case):
    model, data = case
    card = read_json(model / "recommender.json")
    write_json(model / "recommender.json", card | {"dataset": {"name": "elsewhere", "codes.json_sha256": "0" * 64}})
    code, _, err = odllm("evaluate", model, "--dataset", data)
    assert code == 2
    assert "elsewhere" in err
    code, _, err = odllm("evaluate", model, "--dataset", data, "--any-codes", "--users", 3)
    assert code == 0
    assert "note:" in err


@pytest.mark.parametrize("option", ["--out", "--ranks"])
def test_a_file_that_cannot_be_written_is_refused_before_the_evaluation(odllm, case, tmp_path, option, monkeypatch):
    model, data = case
    monkeypatch.setattr("odllm.evaluation.evaluate_target", lambda *_, **__: pytest.fail("evaluated"))
    (tmp_path / "file").write_text("")
    for place, message in ((tmp_path, "is a folder"), (tmp_path / "file" / "q.json", "cannot create")):
        code, _, err = odllm("evaluate", model, "--dataset", data, option, place)
        assert code == 2
        assert message in " ".join(err.split())


def test_files_go_into_folders_that_are_not_there_yet(odllm, case, tmp_path):
    model, data = case
    assert odllm("evaluate", model, "--dataset", data, "--users", 2, "--out", tmp_path / "new" / "q.json")[0] == 0
    assert "model" in read_json(tmp_path / "new" / "q.json")


def test_a_target_named_by_a_dot_has_its_folders_name(odllm, case, monkeypatch):
    model, data = case
    monkeypatch.chdir(model)
    code, out, _ = odllm("evaluate", ".", "--dataset", data, "--users", 2, "--json", "--save")
    assert code == 0
    assert read_json(model / "evaluation.json") == json.loads(out)["model"]


@pytest.fixture
def exported(case, tmp_path):
    """The bundle of the recommender."""
    export_bundle(case[0], load_dataset(case[1]), tmp_path / "bundle", ExportOptions(num_beams=20))
    return tmp_path / "bundle"


def test_items_that_only_the_bundle_has_are_no_item_of_the_dataset(case, exported, tmp_path):
    """An item under a code of its own takes a place from those behind it; it is never counted as another item."""
    data = load_dataset(case[1])
    free = next(code for code in np.ndindex(SIZES) if not (data.codes.codes == code).all(axis=1).any())
    add_items(exported, [NewItem("new", "New", codes=free)], out=tmp_path / "larger")
    recommender = Recommender.open(tmp_path / "larger")
    histories = data.split().test_history
    rankings = bundle_ranker(recommender, data)(histories)
    listed = 0
    for history, ranking in zip(histories, rankings, strict=True):
        rows, _ = recommender.recommend_rows(recommender.rows_of([data.item_ids[row] for row in history]))
        np.testing.assert_array_equal(ranking.codes, distinct_codes(rows, recommender.catalog.codes))
        listed += bool((ranking.codes == free).all(axis=1).any())
    assert listed


def test_a_bundle_runs_on_as_many_threads_as_asked_for(odllm, case, exported, monkeypatch):
    opened, original = [], Recommender.open.__func__
    monkeypatch.setattr(
        Recommender, "open", classmethod(lambda cls, *given: opened.append(given[1]) or original(cls, *given))
    )
    assert odllm("evaluate", exported, "--dataset", case[1], "--users", 2, "--threads", 2)[0] == 0
    assert [options.threads for options in opened] == [2]


def test_a_bundle_of_another_search_or_of_other_codes_is_refused(odllm, case, exported, make_dataset, tmp_path):
    code, _, err = odllm("evaluate", exported, "--dataset", case[1], "--scoring", "vocab")
    assert code == 2
    assert "say --scoring codes" in " ".join(err.split())
    save_dataset(make_dataset(sizes=(4, 4)), tmp_path / "flat")
    code, _, err = odllm("evaluate", exported, "--dataset", tmp_path / "flat")
    assert code == 2
    assert "2 levels" in err


@pytest.mark.parametrize("verb", ["export", "export-processor", "precisions", "compress"])
def test_every_verb_refuses_a_dataset_of_other_codes_and_what_is_no_dataset(odllm, case, tmp_path, verb):
    model, data = case
    card = read_json(model / "recommender.json")
    write_json(model / "recommender.json", card | {"dataset": {"name": "elsewhere", "codes.json_sha256": "0" * 64}})
    for folder, message in ((data, "elsewhere"), (tmp_path / "nowhere", "is not a dataset folder")):
        code, _, err = odllm(verb, model, "--dataset", folder, "--out", tmp_path / "out")
        assert code == 2
        assert message in " ".join(err.split())
    assert not (tmp_path / "out").exists()


def test_a_model_without_tokenizer_keeps_its_deployed_prompt(odllm, case):
    model, data = case
    for path in model.glob("tokenizer*"):
        path.unlink()
    assert odllm("evaluate", model, "--dataset", data, "--users", 3)[0] == 0
    code, _, err = odllm("evaluate", model, "--dataset", data, "--template", "1")
    assert code == 2
    assert "holds no tokenizer" in err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_find_what_one_does(odllm, case, tmp_path):
    model, data = case
    arguments = ["evaluate", str(model), "--dataset", str(data), "--batch", "4", "--template", "all"]
    odllm(*arguments, "--out", tmp_path / "1.json", "--ranks", tmp_path / "1.jsonl")
    files = ["--out", str(tmp_path / "2.json"), "--ranks", str(tmp_path / "2.jsonl"), "--json"]
    said, codes = in_two_processes([*arguments, *files])
    assert codes == [0, 0], said
    for suffix in ("json", "jsonl"):
        assert (tmp_path / f"1.{suffix}").read_bytes() == (tmp_path / f"2.{suffix}").read_bytes()
    assert json.loads(said[0][0]) == read_json(tmp_path / "2.json")
    assert not said[1][0]  # the second process prints nothing


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_say_an_error_once(case):
    model, data = case
    said, codes = in_two_processes(["evaluate", str(model), "--dataset", str(data), "--template", "9"])
    assert codes == [2, 2], said
    assert sum("template '9'" in " ".join(err.split()) for _, err in said) == 1
    assert not any("Traceback" in err for _, err in said)


def in_two_processes(arguments):
    """Run the program in two processes that meet; return (standard output, standard error) and exit code of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    shared |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "CUDA_VISIBLE_DEVICES": ""}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "odllm", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**shared, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=200) for process in processes]
    return said, [process.returncode for process in processes]
