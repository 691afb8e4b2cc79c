import copy
import time

import pytest
import torch

from compression.calibration import CalibrationBatch
from compression.config import CompressionConfig
from compression.distillation import IGNORED, divergence, next_tokens
from compression.errors import CalibrationError, ConfigError
from compression.pipeline import compress
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig


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
    report = recover(student, teacher, batches, RecoveryConfig(max_steps=30, label_weight=0.0), code_token_ids=ids)
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
