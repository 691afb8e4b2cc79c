import copy

import pytest
import torch
from model_weights import weights

from compression.config import CompressionConfig
from compression.errors import CalibrationError, ConfigError
from compression.lowrank import factored_linears, shared_inputs
from compression.pipeline import compress
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig


def test_norms_learn_when_asked(pair, batches):
    student, teacher = pair
    before = weights(student)
    recover(student, teacher, batches, RecoveryConfig(max_steps=3, train_norms=True))
    assert not torch.equal(before["model.norm.weight"], student.model.norm.weight)


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
        return [float(len(seen))]

    recover(student, teacher, batches, RecoveryConfig(max_steps=8, method="lora", validations=1), validate=validate)
    assert not torch.allclose(seen[0], seen[1], atol=1e-2)
    torch.testing.assert_close(student(input_ids=batches[0].input_ids).logits, seen[1], atol=1e-4, rtol=1e-4)


def test_adapters_that_only_harm_leave_the_same_bits(pair, batches):
    pytest.importorskip("peft")
    student, teacher = pair
    before = weights(student)
    scores = iter((5.0, 4.0))
    config = RecoveryConfig(max_steps=4, method="lora", validations=1)
    assert recover(student, teacher, batches, config, validate=lambda _: [next(scores)]).best_step == 0
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
        return [float(len(seen))]

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
