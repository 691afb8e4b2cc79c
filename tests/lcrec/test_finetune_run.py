import os
import resource
import signal

import msgspec
import pytest
import torch
from finetuning import EVERY_STEP, make_job, write_base
from safetensors.torch import load_file

from lcrec.errors import DatasetError, FineTuningError, ItemCodesError, ModelError
from lcrec.evaluate import dataset_catalog, evaluate, model_ranker
from lcrec.finetune.batches import pad
from lcrec.finetune.response_loss import ResponseLoss, on_device
from lcrec.finetune.run import fine_tune
from lcrec.finetune.samples import task_mixture
from lcrec.pretrained import load_pretrained, new_recommender
from lcrec.prompt import PromptText, read_card
from lcrec.tasks.templates import load_families


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("pretrained") / "base")


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(users=40)


@pytest.fixture(scope="module")
def whole(base, dataset, tmp_path_factory):
    """Return the report and the folder of a run that nothing interrupts, made once a recipe."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def find(learning="full"):
        if learning not in made:
            out = folder / learning
            made[learning] = run(make_job(base, dataset, learning=learning, **EVERY_STEP), out), out
        return made[learning]

    return find


def run(job, out, **options):
    return fine_tune(job, out, facts={"name": "toy"}, **options)


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def stop_at(step, how):
    """Return a progress that calls `how` once step `step` is done."""

    def progress(done, total, note=""):
        if note.startswith(f"step {step},"):
            how()

    return progress


class Killed(BaseException):
    """Ends a run as a kill does: nothing is written any more."""


def kill():
    raise Killed


def held_out_loss(job, folder):
    model, _ = load_pretrained(str(folder))
    mixture = task_mixture(job.start(), job.dataset, job.config)
    samples = mixture.validation(job.config.validation_users)
    total = ResponseLoss(model, bfloat16=False)(*on_device(pad(samples), torch.device("cpu")))
    return float(total.detach()) / (len(samples) * mixture.prompt.levels)


def test_the_loss_falls_and_the_folder_says_how(base, dataset, tmp_path):
    job = make_job(base, dataset, epochs=4)
    report = run(job, tmp_path / "out")
    losses = [row["loss"] for row in report["history"]]
    assert losses[-1] < losses[0]
    card = read_card(tmp_path / "out")
    assert msgspec.json.decode(msgspec.json.encode(report)) == card.training
    assert card.dataset == {"name": "toy"}
    assert report["tokens"] > 0
    assert not (tmp_path / "out.partial").exists()


def test_all_templates_are_recorded_the_deployed_one_first(base, dataset, tmp_path):
    run(make_job(base, dataset), tmp_path / "out")
    card = read_card(tmp_path / "out")
    assert card.templates[0] == card.prompt_text
    assert len(card.templates) == len(load_families().seqrec)
    assert card.prompt.suffix_ids == ()


def test_words_of_ones_own_are_read_behind_the_begin_of_sequence_token_once(base, dataset):
    for prefix in ("The user has chosen:", "<s>The user has chosen:"):
        start = make_job(base, dataset, prompt_text=PromptText(prefix, ",", ",")).start()
        assert start.text == PromptText("<s>The user has chosen:", ",", ",")


def test_the_best_weights_are_kept_and_patience_ends_the_run(base, dataset, tmp_path):
    job = make_job(base, dataset, epochs=20, learning_rate=0.1, patience=1)
    report = run(job, tmp_path / "out")
    losses = {row["step"]: row["loss"] for row in report["history"]}
    assert report["best_step"] == min(losses, key=losses.get)
    assert report["epochs"] < 20
    assert report["best_step"] < report["steps"]
    assert held_out_loss(job, tmp_path / "out") == pytest.approx(losses[report["best_step"]], rel=1e-4)


def test_ndcg_by_search_can_decide(base, dataset, tmp_path):
    job = make_job(base, dataset, metric="ndcg", validation_users=15)
    report = run(job, tmp_path / "out")
    model, _ = load_pretrained(str(tmp_path / "out"))
    ranker = model_ranker(model, read_card(tmp_path / "out").prompt, dataset_catalog(dataset))
    split, codes = dataset.split(), dataset.require_codes().codes
    expected = evaluate(ranker, split.validation_history[:15], split.validation_target[:15], codes).summary()
    assert report["best"]["ndcg@10"] == pytest.approx(expected["ndcg@10"], abs=1e-6)
    assert report["best"]["ndcg@10"] == max(row["ndcg@10"] for row in report["history"])


@pytest.mark.parametrize("learning", ["full", "lora"])
@pytest.mark.parametrize("step", [1, 8], ids=["before the first checkpoint", "in the second epoch"])
def test_a_killed_run_ends_as_if_it_had_not_been(base, dataset, tmp_path, whole, learning, step):
    job = make_job(base, dataset, learning=learning, **EVERY_STEP)
    report, folder = whole(learning)
    with pytest.raises(Killed):
        run(job, tmp_path / "killed", progress=stop_at(step, kill))
    resumed = run(job, tmp_path / "killed")
    assert same(weights(folder), weights(tmp_path / "killed"))
    assert [resumed[name] for name in ("history", "steps", "tokens")] == [
        report[name] for name in ("history", "steps", "tokens")
    ]


def test_a_checkpoint_that_a_kill_cut_short_is_passed_over(base, dataset, tmp_path, whole):
    job = make_job(base, dataset, **EVERY_STEP)
    with pytest.raises(Killed):
        run(job, tmp_path / "killed", progress=stop_at(8, kill))
    checkpoints = tmp_path / "killed.partial" / "checkpoints"
    (checkpoints / "step-00000009").mkdir()  # no state
    (checkpoints / ".step-00000010.writing").mkdir()
    (checkpoints / ".step-00000010.writing" / "state.json").write_text("{")
    run(job, tmp_path / "killed")
    assert same(weights(whole()[1]), weights(tmp_path / "killed"))


def test_a_checkpoint_whose_files_are_damaged_is_named(base, dataset, tmp_path):
    job = make_job(base, dataset, **EVERY_STEP)
    with pytest.raises(Killed):
        run(job, tmp_path / "out", progress=stop_at(2, kill))
    (data,) = (tmp_path / "out.partial" / "checkpoints" / "step-00000001").glob("*.distcp")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(FineTuningError, match=r"cannot read the checkpoint .*step-00000001: .*damaged.*--restart"):
        run(job, tmp_path / "out")


def test_ctrl_c_ends_the_step_keeps_a_checkpoint_and_the_run_goes_on(base, dataset, tmp_path, whole):
    job = make_job(base, dataset)
    with pytest.raises(KeyboardInterrupt):
        run(job, tmp_path / "out", progress=stop_at(2, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert (tmp_path / "out.partial" / "checkpoints" / "step-00000002" / "state.json").is_file()
    assert not (tmp_path / "out").exists()
    run(job, tmp_path / "out")
    assert same(weights(whole()[1]), weights(tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"learning_rate": 1e-3}, "recipe"), ({"seed": 1}, "recipe"), ("base", "base"), ("users", "dataset")],
)
def test_the_checkpoint_of_another_run_is_refused_and_stays(base, dataset, make_dataset, tmp_path, change, named):
    recipe = {"max_steps": 3, **EVERY_STEP}
    with pytest.raises(Killed):
        run(make_job(base, dataset, **recipe), tmp_path / "out", progress=stop_at(2, kill))
    other = {
        "base": lambda: make_job(write_base(tmp_path / "other", seed=1), dataset, **recipe),
        "users": lambda: make_job(base, make_dataset(users=41), **recipe),
    }
    job = other[change]() if isinstance(change, str) else make_job(base, dataset, **change, **recipe)
    with pytest.raises(
        FineTuningError, match=rf"step-00000001 is the checkpoint of another run: its .*{named}.* differ"
    ):
        run(job, tmp_path / "out")
    assert (tmp_path / "out.partial" / "checkpoints" / "step-00000001" / "state.json").is_file()
    assert run(job, tmp_path / "out", restart=True)["steps"] == 3


def test_a_loss_that_is_not_finite_stops_and_names_the_last_checkpoint(base, dataset, tmp_path):
    job = make_job(base, dataset, learning_rate=1e30, warmup=0.0, **EVERY_STEP)
    with pytest.raises(
        FineTuningError, match=r"step 2: the loss is .*step-00000001, is kept\. Lower the learning rate"
    ):
        run(job, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_update_that_ruins_the_model_is_no_result(base, dataset, tmp_path):
    job = make_job(base, dataset, learning_rate=1e38, warmup=0.0, max_steps=1)
    with pytest.raises(FineTuningError, match=r"validation after step 1 gives .*nan.*No checkpoint.*Lower the"):
        run(job, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_base_with_weights_that_are_not_finite_is_named(dataset, tmp_path):
    base = write_base(tmp_path / "base")
    model, _ = load_pretrained(base)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    model.save_pretrained(base)
    with pytest.raises(FineTuningError, match=r"step 1: the loss is nan.*No checkpoint.*Look into the base"):
        run(make_job(base, dataset), tmp_path / "out")


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(base, dataset, tmp_path, whole):
    """Files are limited in size, as by a disk that is full."""
    job, before = make_job(base, dataset, **EVERY_STEP), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(FineTuningError, match=r"cannot write a checkpoint.*step-00000002, is kept.*Make room"):
            run(
                job,
                tmp_path / "out",
                progress=stop_at(3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path / "out.partial" / "checkpoints") == ["step-00000002"]
    run(job, tmp_path / "out")
    assert same(weights(whole()[1]), weights(tmp_path / "out"))


def test_a_disk_without_room_is_refused_before_the_first_step(base, dataset, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr("lcrec.finetune.preflight.shutil.disk_usage", lambda path: usage)
    with pytest.raises(FineTuningError, match=r"has 0\.0 GB of room; the run needs"):
        run(make_job(base, dataset), tmp_path / "out", progress=stop_at(1, kill))


def test_a_recommender_is_taken_further(base, dataset, tmp_path):
    run(make_job(base, dataset), tmp_path / "first")
    job = make_job(str(tmp_path / "first"), dataset, epochs=1)
    assert job.start().trained
    report = run(job, tmp_path / "second")
    assert read_card(tmp_path / "second").prompt == read_card(tmp_path / "first").prompt
    first = read_card(tmp_path / "first").training
    assert report["base_model"] == first["base_model"] == "base"
    assert report["history"][0]["training_loss"] < first["history"][0]["training_loss"]


def test_a_pretrained_model_that_was_given_codes_only_learns_as_the_model_itself(base, dataset, tmp_path):
    new_recommender(*load_pretrained(base), dataset, tmp_path / "codes", base="base", facts={"name": "toy"})
    assert not make_job(str(tmp_path / "codes"), dataset).start().trained
    one = run(make_job(base, dataset, max_steps=2), tmp_path / "one")
    other = run(make_job(str(tmp_path / "codes"), dataset, max_steps=2), tmp_path / "other")
    assert one["history"] == other["history"]


def test_a_recommender_of_other_codes_is_refused(base, dataset, make_dataset, tmp_path):
    run(make_job(base, dataset, max_steps=1), tmp_path / "first")
    other = make_dataset(users=40, sizes=(4, 4, 4, 4))
    with pytest.raises(ItemCodesError, match=r"speaks codes of the sizes \[4, 4, 4\], the dataset has \[4, 4, 4, 4\]"):
        run(make_job(str(tmp_path / "first"), other), tmp_path / "out")


def test_a_vocabulary_with_code_tokens_that_is_no_recommenders_is_refused(base, dataset, tmp_path):
    run(make_job(base, dataset, max_steps=1), tmp_path / "first")
    (tmp_path / "first" / "recommender.json").unlink()
    with pytest.raises(ModelError, match="has code tokens already"):
        run(make_job(str(tmp_path / "first"), dataset), tmp_path / "out")


def test_a_compressed_base_is_refused(dataset, tmp_path):
    base = write_base(tmp_path / "base")
    (tmp_path / "base" / "low_rank.json").write_text("{}")
    with pytest.raises(FineTuningError, match=r"is compressed\. Fine-tune the dense model"):
        run(make_job(base, dataset), tmp_path / "out")


def test_a_prompt_longer_than_the_model_reads_is_refused(dataset, tmp_path):
    base = write_base(tmp_path / "short", max_position_embeddings=64)
    with pytest.raises(FineTuningError, match=r"the model reads 64 \(max_position_embeddings\)\. Lower max_items"):
        run(make_job(base, dataset), tmp_path / "out")


def test_a_sample_longer_than_the_model_reads_is_refused(dataset, tmp_path):
    base = write_base(tmp_path / "short", max_position_embeddings=70)
    job = make_job(base, dataset, tasks=("seqrec", "item2index"), max_items=5, vary=False)
    with pytest.raises(FineTuningError, match=r"a sample of item2index has \d+ tokens, the model reads 70"):
        run(job, tmp_path / "out")


def test_bfloat16_where_there_is_none_is_refused(base, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("lcrec.finetune.assembly.has_bfloat16", lambda: False)
    with pytest.raises(FineTuningError, match=r"precision is bf16, and this CPU .*no CUDA device.*--precision fp32"):
        run(make_job(base, dataset, precision="bf16"), tmp_path / "out")


def test_weights_in_bfloat16_go_with_products_in_bfloat16(base, dataset, tmp_path):
    with pytest.raises(FineTuningError, match=r"weights is bfloat16, and products are in float32: precision is fp32"):
        run(make_job(base, dataset, weights="bfloat16"), tmp_path / "out")


def test_a_subset_of_users_is_drawn_and_recorded(base, dataset, tmp_path):
    assert run(make_job(base, dataset, users=10), tmp_path / "out")["users"] == 10
    with pytest.raises(DatasetError, match="41 users were asked for; toy has 40"):
        run(make_job(base, dataset, users=41), tmp_path / "other")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # by PEFT, of transformers
def test_an_adapter_is_kept_on_request(base, dataset, tmp_path):
    from peft import PeftModel

    job = make_job(base, dataset, learning="lora", embeddings="new-rows", keep_adapter=True)
    run(job, tmp_path / "out")
    adapted = PeftModel.from_pretrained(job.start().model, tmp_path / "out" / "adapter").merge_and_unload()
    merged = weights(tmp_path / "out")
    for name, value in adapted.state_dict().items():
        if name in merged:
            torch.testing.assert_close(value, merged[name], msg=name)


def test_adafactor_learns(base, dataset, tmp_path):
    report = run(make_job(base, dataset, optimizer="adafactor", learning_rate=0.05, epochs=3), tmp_path / "out")
    assert report["history"][-1]["loss"] < report["history"][0]["loss"]


def test_templates_of_ones_own_are_learned_and_part_of_what_makes_a_run(base, dataset, tmp_path):
    words = tmp_path / "own.toml"
    job = make_job(base, dataset, templates=str(words), max_steps=3, **EVERY_STEP)
    words.write_text('[[seqrec]]\nprefix = "Seen so far:"\nseparator = ","\nsuffix = ","\n')
    with pytest.raises(Killed):
        run(job, tmp_path / "out", progress=stop_at(2, kill))
    words.write_text('[[seqrec]]\nprefix = "Chosen so far:"\nseparator = ","\nsuffix = ","\n')
    with pytest.raises(FineTuningError, match="another run: its recipe differ"):
        run(job, tmp_path / "out")
    run(job, tmp_path / "out", restart=True)
    card = read_card(tmp_path / "out")
    assert card.templates == (card.prompt_text,)
    assert card.prompt_text.prefix == "<s>Chosen so far:"
