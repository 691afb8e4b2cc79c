import pytest
import torch

from compression.calibration import CalibrationBatch, check_batches, hash_batches
from compression.errors import CalibrationError


def test_positions_count_tokens_and_leave_padding_out():
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])
    batch = CalibrationBatch(mask, mask)
    assert batch.positions()[0, 2:].tolist() == [0, 1, 2]
    assert batch.positions()[1, :3].tolist() == [0, 1, 2]
    assert batch.tokens == 6


def test_given_positions_are_used():
    ones = torch.ones(1, 3, dtype=torch.int64)
    assert CalibrationBatch(ones, ones, ones * 5).positions().tolist() == [[5, 5, 5]]


def test_tokens_are_counted_without_padding(batches):
    assert check_batches(batches, 61) == 8 * (12 + 9 + 12 + 5)


@pytest.mark.parametrize("empty", [True, False])
def test_no_calibration_data_says_what_to_give(empty):
    none = [] if empty else [CalibrationBatch(torch.zeros(2, 3).long(), torch.zeros(2, 3).long())]
    with pytest.raises(CalibrationError, match=r"no calibration data: .* Give sequences of training users"):
        check_batches(none, 61)


def test_shapes_that_differ_are_named():
    batch = CalibrationBatch(torch.ones(2, 3).long(), torch.ones(2, 4).long())
    with pytest.raises(CalibrationError, match=r"batch 0: input_ids are \[2, 3\] beside \[\[2, 4\]\]; .*Pad"):
        check_batches([batch], 61)


def test_token_ids_outside_the_vocabulary_are_named(batches):
    with pytest.raises(CalibrationError, match=r"batch 0 holds token ids .* the model knows 0 to 9\. Use the prompt"):
        check_batches(batches, 10)


def test_the_hash_sees_ids_masks_and_positions(batches):
    batch = batches[0]
    other_ids = CalibrationBatch(batch.input_ids + 1, batch.attention_mask)
    other_mask = CalibrationBatch(batch.input_ids, torch.ones_like(batch.attention_mask))
    other_positions = CalibrationBatch(batch.input_ids, batch.attention_mask, batch.positions() + 1)
    hashes = {hash_batches([each]) for each in (batch, other_ids, other_mask, other_positions)}
    assert len(hashes) == 4
    assert hash_batches(batches) == hash_batches(batches)
