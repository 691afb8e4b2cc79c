import copy
import time
from itertools import count, pairwise

import pytest
import torch
from model_weights import weights

from compression import recovery
from compression.config import CompressionConfig
from compression.distillation import IGNORED, next_tokens
from compression.errors import CalibrationError, ConfigError
from compression.pipeline import compress
from compression.recovery import recover
from compression.recovery_config import LABEL_WEIGHTS, LEARNING_RATES, Recipe, RecoveryConfig


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

    report = recover(student, teacher, batches, RecoveryConfig(max_steps=100, trials=0.6), surprise=surprise)
    slow, faster, fast, *_ = LEARNING_RATES["factors"]
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


def test_the_last_validation_is_within_the_budget_of_time(pair, batches, monkeypatch):
    student, teacher = pair
    now = count()
    judging = [0.0]

    def judge(_):
        judging[0] += 1.0
        return [1.0]

    monkeypatch.setattr(recovery.time, "monotonic", lambda: 0.01 * next(now) + judging[0])
    report = recover(student, teacher, batches, RecoveryConfig(seconds=4.0, validations=1), validate=judge)
    assert len(report.validations) == 2
    assert 3.9 < report.seconds < 4.1


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
        return [{0: 1.0, 1: 3.0, 2: 2.0}.get(len(seen) - 1, 0.0)]

    report = recover(student, teacher, batches, RecoveryConfig(max_steps=8, validations=4), validate=validate)
    assert [step for step, _ in report.validations] == [0, 2, 4, 6, 8]
    assert report.best_step == 2
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in weights(student).items())


def test_a_recovery_that_only_harms_leaves_the_training_free_model(pair, batches):
    student, teacher = pair
    before = weights(student)
    scores = iter((5.0, 4.0, 3.0))
    config = RecoveryConfig(max_steps=4, validations=2)
    assert recover(student, teacher, batches, config, validate=lambda _: [next(scores)]).best_step == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(student).items())


@pytest.mark.parametrize(
    ("after", "kept"),
    [
        ([0.6, 0.4, 0.6, 0.3, 0.5, 0.5], 4),  # worse by .017, with a standard error of .04: chance
        ([0.4, 0.5, 0.4, 0.4, 0.5, 0.4], 0),  # worse by .07, with a standard error of .02
    ],
)
def test_factors_are_refused_only_if_they_are_clearly_worse_over_users(pair, batches, after, kept):
    scores = iter(([0.5] * 6, after))
    config = RecoveryConfig(max_steps=4, validations=1)
    report = recover(*pair, batches, config, validate=lambda _: next(scores))
    assert report.best_step == kept
    assert [mean for _, mean in report.validations] == pytest.approx([0.5, sum(after) / 6])


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


def test_recovery_among_legal_codes_lowers_the_divergence_there(pair, batches):
    student, teacher = pair

    def allowed(batch):
        mask = torch.zeros(*batch.input_ids.shape, 61, dtype=torch.bool)
        mask[:, :-1, 20:30] = batch.attention_mask[:, 1:, None].bool()
        return mask

    config = RecoveryConfig(max_steps=40, learning_rate=3e-3, label_weight=0.0)
    report = recover(student, teacher, batches, config, code_token_ids=range(61), allowed=allowed)
    assert report.kl_last < 0.7 * report.kl_first
