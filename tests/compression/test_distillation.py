import pytest
import torch

from compression.calibration import CalibrationBatch
from compression.distillation import IGNORED, among_legal, divergence, next_tokens


def test_divergence_is_torchs_kl_and_zero_for_equals():
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    expected = (teacher.softmax(-1) * (teacher.log_softmax(-1) - student.log_softmax(-1))).sum(-1).mean()
    torch.testing.assert_close(divergence(student, teacher), expected)
    assert float(divergence(teacher, teacher, temperature=2.0)) == pytest.approx(0, abs=1e-6)


def test_labels_are_the_tokens_that_came_next_and_nothing_from_padding():
    ids = torch.tensor([[5, 6, 7, 0], [0, 8, 5, 9]])
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    batch = CalibrationBatch(ids, mask)
    assert next_tokens(batch, None, 10).tolist() == [6, 7, IGNORED, 5, 9, IGNORED]
    assert next_tokens(batch, torch.tensor([9, 6]), 10).tolist() == [1, IGNORED, IGNORED, IGNORED, 0, IGNORED]


def test_among_legal_what_is_not_legal_counts_for_nothing():
    torch.manual_seed(0)
    logits, target = torch.randn(4, 5), torch.randn(4, 5)
    legal = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [1, 0, 0, 0, 1]], dtype=torch.bool)
    labels = torch.tensor([1, 2, 4, IGNORED])
    student, teacher, known = among_legal(legal, logits, target, labels)
    assert known.tolist() == [1, IGNORED, IGNORED]  # the second row offers nothing, the third row's label is not legal
    expected = [divergence(logits[row, legal[row]][None], target[row, legal[row]][None]) for row in (0, 2, 3)]
    torch.testing.assert_close(divergence(student, teacher), torch.stack(expected).mean())
