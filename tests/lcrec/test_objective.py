"""The training's loss with a teacher: cross-entropy and divergence in the shares asked for."""

import numpy as np
import pytest
import torch

from lcrec.errors import ModelError
from lcrec.objective import Teacher, next_code_loss
from lcrec.windows import batch_windows


@pytest.fixture
def batch(make_codes, make_prompt):
    windows = [np.array([1, 2, 3], np.int32), np.array([4, 5], np.int32)]
    return batch_windows(windows, make_codes(10, (4, 4, 4)), make_prompt(), 2)[0]


@pytest.fixture
def models(make_model):
    return make_model(25, seed=0), make_model(25, seed=1)


def teacher_of(model, prompt, weight=0.5):
    return Teacher(model, prompt, "f" * 64, weight)


def distances(batch, student, teacher):
    """Cross-entropy and KL(teacher ‖ student) over the predicted codes, one by one."""
    surprise, apart = [], []
    ids = torch.from_numpy(batch.ids)
    with torch.no_grad():
        logs = [model(ids).logits.log_softmax(-1) for model in (student, teacher)]
    for row, place in np.argwhere(batch.predicted):
        ours, theirs = (log[row, place - 1] for log in logs)
        surprise.append(-ours[ids[row, place]])
        apart.append((theirs.exp() * (theirs - ours)).sum())
    return torch.stack(surprise).mean(), torch.stack(apart).mean()


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_the_loss_mixes_both_distances(batch, models, make_prompt, weight):
    student, teacher = models
    surprise, apart = distances(batch, student, teacher)
    found = next_code_loss(student, batch, teacher=teacher_of(teacher, make_prompt(), weight))
    torch.testing.assert_close(found, (1 - weight) * surprise + weight * apart, rtol=1e-4, atol=1e-5)


def test_without_a_teacher_it_is_the_cross_entropy(batch, models):
    torch.testing.assert_close(next_code_loss(models[0], batch), distances(batch, *models)[0], rtol=1e-4, atol=1e-5)


def test_the_teacher_learns_nothing(batch, models, make_prompt):
    student, teacher = models
    next_code_loss(student, batch, teacher=teacher_of(teacher, make_prompt())).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(bool(parameter.grad.any()) for parameter in student.parameters() if parameter.grad is not None)


def test_a_model_is_at_no_distance_from_itself(batch, models, make_prompt):
    found = next_code_loss(models[0], batch, teacher=teacher_of(models[0], make_prompt(), 1.0))
    assert float(found.detach()) == pytest.approx(0, abs=1e-6)


def test_a_teacher_of_another_prompt_is_refused(models, make_prompt):
    teacher = teacher_of(models[0], make_prompt(max_items=9))
    with pytest.raises(ModelError, match="--max-items"):
        teacher.require_prompt(make_prompt())


@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_a_weight_out_of_range_is_refused(models, make_prompt, weight):
    with pytest.raises(ModelError, match="above 0 and at most 1"):
        teacher_of(models[0], make_prompt(), weight)
