import copy
import os
import socket
import subprocess
import sys
import time
from itertools import count, pairwise

import pytest
import torch
from safetensors.torch import load_file

from compression import recovery
from compression.calibration import CalibrationBatch
from compression.checkpoint import save_model
from compression.config import CompressionConfig
from compression.distillation import IGNORED, among_legal, divergence, next_tokens
from compression.errors import CalibrationError, ConfigError
from compression.lowrank import factored_linears, shared_inputs
from compression.pipeline import compress
from compression.recovery import recover
from compression.recovery_config import LABEL_WEIGHTS, LEARNING_RATES, Recipe, RecoveryConfig


@pytest.fixture
def pair(llama, batches):
    """A student at keep ratio 0.5 and its dense teacher."""
    teacher = copy.deepcopy(llama)
    compress(llama, batches, CompressionConfig())
    return llama, teacher


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_divergence_is_torchs_kl_and_zero_for_equals():
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    expected = (teacher.softmax(-1) * (teacher.log_softmax(-1) - student.log_softmax(-1))).sum(-1).mean()
    torch.testing.assert_close(divergence(student, teacher), expected)
    assert float(divergence(teacher, teacher, temperature=2.0)) == pytest.approx(0, abs=1e-6)


def test_recovery_lowers_the_divergence_and_moves_only_the_factors(pair, batches):
    student, teacher = pair
    before, teacher_before = weights(student), weights(teacher)
    report = recover(student, teacher, batches, RecoveryConfig(max_steps=40, learning_rate=3e-3, label_weight=0.0))
    assert report.steps == 40
    assert report.tokens > 0
    assert report.kl_last < 0.7 * report.kl_first
    after = weights(student)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {name for name in after if "_factor." in name}
    assert all(torch.equal(tensor, teacher.state_dict()[name]) for name, tensor in teacher_before.items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in student.parameters())


def test_norms_learn_when_asked(pair, batches):
    student, teacher = pair
    before = weights(student)
    recover(student, teacher, batches, RecoveryConfig(max_steps=3, train_norms=True))
    assert not torch.equal(before["model.norm.weight"], student.model.norm.weight)


def test_the_same_steps_give_the_same_bits(pair, batches):
    student, teacher = pair
    twin = copy.deepcopy(student)
    for model in (student, twin):
        recover(model, teacher, batches, RecoveryConfig(max_steps=5, seed=3))
    assert all(torch.equal(tensor, weights(twin)[name]) for name, tensor in weights(student).items())


def test_trials_choose_the_recipe_and_leave_the_factors_alone(pair, batches):
    student, teacher = pair
    before, asked = weights(student), []
    # Without labels the second rate is best, the third not clearly better; with labels the first is best of all.
    surprises = ([4.0, 4.1], [3.0, 3.1], [2.0, 4.0], [2.5, 2.6], [2.6, 2.7])

    def surprise(model):
        asked.append(weights(model))
        return surprises[len(asked) - 1]

    report = recover(student, teacher, batches, RecoveryConfig(max_steps=100, trials=0.48), surprise=surprise)
    slow, faster, fast, _ = LEARNING_RATES["factors"]
    tried = [(trial.recipe.learning_rate, trial.recipe.label_weight) for trial in report.trials]
    assert tried == [(slow, 0.0), (faster, 0.0), (fast, 0.0), (slow, 0.5), (faster, 0.5)]
    assert {trial.steps for trial in report.trials} == {6}
    assert report.recipe == Recipe(learning_rate=slow, label_weight=0.5)
    assert report.steps == 100 - 5 * 6
    name = next(name for name in before if "_factor." in name)
    moved = [float((after[name] - before[name]).abs().max()) for after in asked[:3]]
    assert all(low < high for low, high in pairwise(moved))  # each from the same start, at its own rate


def test_trials_within_a_budget_of_time_leave_most_of_it(pair, batches, monkeypatch):
    student, teacher = pair
    clock = count()
    monkeypatch.setattr(recovery.time, "monotonic", lambda: 0.01 * next(clock))  # a look at it takes a hundredth
    report = recover(student, teacher, batches, RecoveryConfig(seconds=6.0), surprise=lambda _: [1.0])
    # Two rates for each label weight: a judge that sees no difference stops the rise.
    tried = [(trial.recipe.learning_rate, trial.recipe.label_weight) for trial in report.trials]
    assert tried == [(rate, weight) for weight in LABEL_WEIGHTS for rate in LEARNING_RATES["factors"][:2]]
    assert 5 <= report.trials[0].steps < 25
    assert report.steps > 2 * sum(trial.steps for trial in report.trials)


def test_a_budget_too_small_for_trials_is_spent_on_careful_steps(pair, batches):
    report = recover(*pair, batches, RecoveryConfig(max_steps=30), surprise=lambda _: [1.0])
    careful = Recipe(learning_rate=LEARNING_RATES["factors"][0], label_weight=0.0)
    assert (report.recipe, report.trials, report.steps) == (careful, (), 30)


def test_what_is_given_is_not_tried(pair, batches):
    def surprise(_):
        raise AssertionError("asked")

    config = RecoveryConfig(max_steps=2, learning_rate=1e-4, label_weight=0.25)
    report = recover(*pair, batches, config, surprise=surprise)
    assert (report.recipe, report.trials) == (Recipe(learning_rate=1e-4, label_weight=0.25), ())


def test_with_trials_the_same_steps_give_the_same_bits(pair, batches):
    student, teacher = pair
    twin = copy.deepcopy(student)
    for model in (student, twin):
        recover(
            model,
            teacher,
            batches,
            RecoveryConfig(max_steps=30),
            surprise=lambda m: [float(m.model.layers[0].self_attn.q_proj.output_factor.weight.sum())],
        )
    assert all(torch.equal(tensor, weights(twin)[name]) for name, tensor in weights(student).items())


def test_the_clock_ends_the_run(pair, batches):
    student, teacher = pair
    started = time.monotonic()
    report = recover(student, teacher, batches, RecoveryConfig(seconds=0.5))
    assert time.monotonic() - started < 5
    assert report.steps > 0
    assert report.seconds >= 0.5


def test_divergence_over_codes_only_looks_at_them(pair, batches):
    student, teacher = pair
    ids = range(10, 30)
    report = recover(
        student,
        teacher,
        batches,
        RecoveryConfig(max_steps=30, learning_rate=2e-3, label_weight=0.0),
        code_token_ids=ids,
    )
    assert report.kl_last < report.kl_first


def test_the_best_validated_factors_are_kept(pair, batches):
    student, teacher = pair
    seen = []

    def validate(model):
        seen.append(weights(model))
        return {0: 1.0, 1: 3.0, 2: 2.0}.get(len(seen) - 1, 0.0)

    report = recover(student, teacher, batches, RecoveryConfig(max_steps=8, validations=4), validate=validate)
    assert [step for step, _ in report.validations] == [0, 2, 4, 6, 8]
    assert report.best_step == 2
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in weights(student).items())


def test_a_recovery_that_only_harms_leaves_the_training_free_model(pair, batches):
    student, teacher = pair
    before = weights(student)
    scores = iter((5.0, 4.0, 3.0))
    config = RecoveryConfig(max_steps=4, validations=2)
    assert recover(student, teacher, batches, config, validate=lambda _: next(scores)).best_step == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(student).items())


def test_progress_rises_to_one(pair, batches):
    student, teacher = pair
    heard = []
    recover(
        student, teacher, batches, RecoveryConfig(max_steps=4), progress=lambda done, total, note="": heard.append(done)
    )
    assert heard == [0.25, 0.5, 0.75, 1.0]


def test_a_dense_student_is_refused(llama, batches):
    with pytest.raises(ConfigError, match=r"no low-rank projection to train\. Compress it below keep_ratio 1"):
        recover(llama, llama, batches, RecoveryConfig(max_steps=1))


def test_recovery_without_sequences_is_refused(pair):
    with pytest.raises(CalibrationError, match="no calibration data"):
        recover(*pair, [], RecoveryConfig(max_steps=1))


def test_a_divergence_that_is_not_finite_says_what_to_do(pair, batches):
    student, teacher = pair
    with torch.no_grad():
        teacher.model.norm.weight[0] = float("nan")
    with pytest.raises(CalibrationError, match=r"divergence from the dense model is nan\. Lower the learning rate"):
        recover(student, teacher, batches, RecoveryConfig(max_steps=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one budget: give either seconds or max_steps"),
        ({"seconds": 1.0, "max_steps": 1}, "one budget"),
        ({"seconds": 0.0}, r"budget is 0\.0; expected above 0\. To skip recovery, leave it out"),
        ({"max_steps": 1, "learning_rate": 0.0}, "expected the first two above 0 and warmup from 0 to below 1"),
        ({"max_steps": 1, "method": "prefix"}, "method is 'prefix'; expected 'factors' or 'lora'"),
        ({"max_steps": 1, "lora_rank": 0}, "lora_rank is 0; expected at least 1"),
        ({"max_steps": 1, "accumulation": 0}, "accumulation is 0; expected at least 1"),
        ({"max_steps": 1, "trials": 0.0}, r"trials is 0\.0; expected a fraction of the budget, above 0 and below 1"),
        ({"max_steps": 1, "validations": 0}, "validations is 0; expected at least 1"),
    ],
)
def test_options_that_make_no_sense_say_what_to_give(options, message):
    with pytest.raises(ConfigError, match=message):
        RecoveryConfig(**options)


def test_labels_are_the_tokens_that_came_next_and_nothing_from_padding():
    ids = torch.tensor([[5, 6, 7, 0], [0, 8, 5, 9]])
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    batch = CalibrationBatch(ids, mask)
    assert next_tokens(batch, None, 10).tolist() == [6, 7, IGNORED, 5, 9, IGNORED]
    assert next_tokens(batch, torch.tensor([9, 6]), 10).tolist() == [1, IGNORED, IGNORED, IGNORED, 0, IGNORED]


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_label_weight_outside_its_range_is_refused(weight):
    with pytest.raises(ConfigError, match="label_weight"):
        RecoveryConfig(max_steps=1, label_weight=weight)


def test_labels_pull_towards_what_came_next(llama, batches):
    """The same few sequences again and again: with labels alone they are learned, whatever the teacher says."""
    few = batches[:1]

    def surprise(model):
        with torch.no_grad():
            logits = model(input_ids=few[0].input_ids, attention_mask=few[0].attention_mask).logits
        rows = logits[few[0].attention_mask.bool()]
        labels = next_tokens(few[0], None, model.config.vocab_size)
        return float(torch.nn.functional.cross_entropy(rows, labels, ignore_index=IGNORED))

    teacher, student = llama, copy.deepcopy(llama)
    compress(student, batches, CompressionConfig(keep_ratio=0.5))
    before = surprise(student)
    recover(student, teacher, few, RecoveryConfig(max_steps=40, label_weight=1.0, learning_rate=5e-3))
    assert surprise(student) < 0.8 * before


def test_a_recovery_says_what_learned(pair, batches):
    student, teacher = pair
    factors = sum(tensor.numel() for name, tensor in student.state_dict().items() if "_factor." in name)
    report = recover(student, teacher, batches, RecoveryConfig(max_steps=1))
    assert (report.method, report.trainable_parameters, report.processes) == ("factors", factors, 1)


def test_adapters_are_merged_into_the_factors(pair, batches):
    pytest.importorskip("peft")
    student, teacher = pair
    before = weights(student)
    modules = [type(module) for module in student.modules()]
    report = recover(
        student,
        teacher,
        batches,
        RecoveryConfig(max_steps=40, method="lora", lora_rank=4, learning_rate=5e-3, label_weight=0.0),
    )
    after = weights(student)
    assert report.kl_last < 0.8 * report.kl_first
    assert list(after) == list(before)
    assert [type(module) for module in student.modules()] == modules
    assert {name for name in after if not torch.equal(before[name], after[name])} == {
        name for name in after if name.endswith("_factor.weight")
    }
    for name in (name for name in after if name.endswith("_factor.weight")):
        assert torch.linalg.matrix_rank(after[name] - before[name], atol=1e-4) <= 4
    assert all(parameter.requires_grad and parameter.grad is None for parameter in student.parameters())
    assert report.trainable_parameters == sum(
        4 * sum(tensor.shape) for name, tensor in after.items() if name.endswith("_factor.weight")
    )


def test_what_the_adapters_learned_is_what_was_validated(pair, batches):
    pytest.importorskip("peft")
    student, teacher = pair
    seen = []

    def validate(model):
        seen.append(model(input_ids=batches[0].input_ids).logits.clone())
        return float(len(seen))

    recover(student, teacher, batches, RecoveryConfig(max_steps=8, method="lora", validations=1), validate=validate)
    assert not torch.allclose(seen[0], seen[1], atol=1e-2)
    torch.testing.assert_close(student(input_ids=batches[0].input_ids).logits, seen[1], atol=1e-4, rtol=1e-4)


def test_adapters_that_only_harm_leave_the_same_bits(pair, batches):
    pytest.importorskip("peft")
    student, teacher = pair
    before = weights(student)
    scores = iter((5.0, 4.0))
    config = RecoveryConfig(max_steps=4, method="lora", validations=1)
    assert recover(student, teacher, batches, config, validate=lambda _: next(scores)).best_step == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(student).items())


@pytest.mark.parametrize("method", ["factors", "lora"])
def test_a_shared_input_factor_stays_shared_and_learns_once(llama, batches, method):
    if method == "lora":
        pytest.importorskip("peft")
    teacher, student = copy.deepcopy(llama), llama
    compress(student, batches, CompressionConfig(shared_inputs=True))
    shared = shared_inputs(student)
    seen = []

    def validate(model):
        seen.append(model(input_ids=batches[0].input_ids).logits.clone())
        return float(len(seen))

    config = RecoveryConfig(max_steps=8, method=method, validations=1)
    report = recover(student, teacher, batches, config, validate=validate)
    assert shared
    assert shared_inputs(student) == shared
    torch.testing.assert_close(student(input_ids=batches[0].input_ids).logits, seen[1], atol=1e-4, rtol=1e-4)
    if method == "factors":
        stored = {id(p): p.numel() for layer in factored_linears(student).values() for p in layer.parameters()}
        assert report.trainable_parameters == sum(stored.values())


def test_an_error_leaves_no_adapter_behind(pair, batches):
    pytest.importorskip("peft")
    student, teacher = pair
    before = weights(student)
    with torch.no_grad():
        teacher.model.norm.weight[0] = float("nan")
    with pytest.raises(CalibrationError, match="divergence"):
        recover(student, teacher, batches, RecoveryConfig(max_steps=1, method="lora"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(student).items())


@pytest.mark.parametrize("method", ["factors", "lora"])
def test_a_recovery_draws_none_of_the_callers_random_numbers(pair, batches, method):
    if method == "lora":
        pytest.importorskip("peft")
    state = torch.get_rng_state()
    recover(*pair, batches, RecoveryConfig(max_steps=1, method=method))
    assert torch.equal(torch.get_rng_state(), state)


def test_lora_without_its_library_names_the_extra(pair, batches, monkeypatch):
    monkeypatch.setattr("compression.trainable.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'odllm\[recovery\]'"):
        recover(*pair, batches, RecoveryConfig(max_steps=1, method="lora"))


def test_accumulated_batches_are_one_larger_batch(pair, make_batches):
    """Batches of equally many tokens: the mean of their gradients is the gradient of their mean."""
    student, teacher = pair
    twin = copy.deepcopy(student)
    small = make_batches((10,) * 8, size=4)
    ids = torch.cat([batch.input_ids for batch in small])
    large = [CalibrationBatch(ids, torch.ones_like(ids))]
    report = recover(student, teacher, small, RecoveryConfig(max_steps=3, accumulation=2))
    recover(twin, teacher, large, RecoveryConfig(max_steps=3))
    assert (report.steps, report.tokens) == (3, 240)
    for name, tensor in weights(student).items():
        torch.testing.assert_close(tensor, weights(twin)[name], atol=1e-4, rtol=1e-3)


def test_bfloat16_computes_near_the_same_and_keeps_the_weights_type(pair, batches):
    student, teacher = pair
    twin = copy.deepcopy(student)
    exact, rough = (
        recover(model, teacher, batches, RecoveryConfig(max_steps=10, bfloat16=bfloat16))
        for model, bfloat16 in ((student, False), (twin, True))
    )
    assert rough.kl_first == pytest.approx(exact.kl_first, rel=0.2)
    assert rough.kl_first != exact.kl_first
    assert {tensor.dtype for tensor in weights(twin).values()} == {torch.float32}


PROCESS = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from compression.calibration import CalibrationBatch
from compression.checkpoint import load_model
from compression.processes import is_first_process, joined_processes
from compression import recovery
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig
torch.set_num_threads(1)
folder = Path(sys.argv[1])
student, teacher = load_model(folder / "student"), load_model(folder / "teacher")
ids = torch.load(folder / "ids.pt")
batches = [CalibrationBatch(part, torch.ones_like(part)) for part in ids.split(4)]
config = RecoveryConfig(max_steps=4, validations=1)
with joined_processes():
    scores = iter((1.0, 2.0) if is_first_process() else ())  # only the first process validates
    report = recover(student, teacher, batches, config, validate=lambda _: next(scores))
    name = "first" if is_first_process() else "second"
assert (report.processes, report.tokens, report.best_step) == (2, 4 * 8 * 10, 4), report
save_file({k: v.clone() for k, v in student.state_dict().items() if "_factor" in k}, folder / f"{name}.safetensors")
"""


@pytest.mark.timeout(600)  # two processes load torch and transformers
def test_two_processes_take_the_steps_of_one_with_both_their_batches(pair, make_batches, tmp_path):
    student, teacher = pair
    save_model(student, tmp_path / "student")
    save_model(teacher, tmp_path / "teacher")
    (whole,) = make_batches((10,) * 8)
    torch.save(whole.input_ids, tmp_path / "ids.pt")
    (tmp_path / "process.py").write_text(PROCESS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    facts = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    facts |= {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}
    running = [
        subprocess.Popen(
            [sys.executable, tmp_path / "process.py", tmp_path],
            env=os.environ | facts | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=500)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    recover(student, teacher, [CalibrationBatch(whole.input_ids, whole.attention_mask)], RecoveryConfig(max_steps=4))
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
        torch.testing.assert_close(tensor, weights(student)[name], atol=1e-4, rtol=1e-3)


def test_among_legal_what_is_not_legal_counts_for_nothing():
    torch.manual_seed(0)
    logits, target = torch.randn(4, 5), torch.randn(4, 5)
    legal = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [1, 0, 0, 0, 1]], dtype=torch.bool)
    labels = torch.tensor([1, 2, 4, IGNORED])
    student, teacher, known = among_legal(legal, logits, target, labels)
    assert known.tolist() == [1, IGNORED, IGNORED]  # the second row offers nothing, the third row's label is not legal
    expected = [divergence(logits[row, legal[row]][None], target[row, legal[row]][None]) for row in (0, 2, 3)]
    torch.testing.assert_close(divergence(student, teacher), torch.stack(expected).mean())


def test_recovery_among_legal_codes_lowers_the_divergence_there(pair, batches):
    student, teacher = pair

    def allowed(batch):
        mask = torch.zeros(*batch.input_ids.shape, 61, dtype=torch.bool)
        mask[:, :-1, 20:30] = batch.attention_mask[:, 1:, None].bool()
        return mask

    config = RecoveryConfig(max_steps=40, learning_rate=3e-3, label_weight=0.0)
    report = recover(student, teacher, batches, config, code_token_ids=range(61), allowed=allowed)
    assert report.kl_last < 0.7 * report.kl_first
