import pytest
import torch

from compression.blocks import capture, embed, run_block
from compression.calibration import CalibrationBatch
from compression.lowrank import GROUPS


def pad_left(batch, extra):
    zeros = torch.zeros(len(batch.input_ids), extra, dtype=torch.int64)
    return CalibrationBatch(torch.cat([zeros, batch.input_ids], dim=1), torch.cat([zeros, batch.attention_mask], dim=1))


@torch.no_grad()
def walk(model, batch):
    hidden, inputs = embed(model, batch)
    for block in model.model.layers:
        hidden = run_block(block, hidden, inputs)
    return model.model.norm(hidden), inputs


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("left", [0, 3])
def test_block_by_block_equals_the_whole_model(make_llama, batches, attention, left):
    model = make_llama(num_hidden_layers=3)
    model.set_attn_implementation(attention)
    batch = pad_left(batches[0], left)
    hidden, inputs = walk(model, batch)
    with torch.no_grad():
        expected = model.model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, position_ids=batch.positions()
        ).last_hidden_state
    torch.testing.assert_close(hidden[inputs.keep], expected[inputs.keep], rtol=0, atol=1e-5)


def test_left_padding_changes_no_hidden_state(llama, batches):
    plain, plain_inputs = walk(llama, batches[0])
    padded, padded_inputs = walk(llama, pad_left(batches[0], 4))
    torch.testing.assert_close(padded[padded_inputs.keep], plain[plain_inputs.keep], rtol=0, atol=1e-5)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
@torch.no_grad()
def test_capture_shows_inputs_outputs_without_bias_and_the_stream(make_llama, batches, group):
    model = make_llama(attention_bias=True)
    block = model.model.layers[0]
    hidden, inputs = embed(model, batches[0])
    captured = capture(block, group, hidden, inputs, residual=True)
    for name in group.projections:
        expected = captured.inputs @ block.get_submodule(name).weight.mT
        torch.testing.assert_close(captured.outputs[name], expected, rtol=1e-4, atol=1e-5)
    assert len(captured.inputs) == batches[0].tokens
    assert (captured.residual is None) == (group.residual is None)
    if group.name == "attention_output":
        assert torch.equal(captured.residual, hidden[inputs.keep])


def test_capture_leaves_no_hooks_behind(llama, batches):
    hidden, inputs = embed(llama, batches[0])
    for group in GROUPS:
        capture(llama.model.layers[0], group, hidden, inputs, residual=True)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in llama.modules())
