import pytest
import torch

from compression.blocks import HALVES, embed, half_output, half_output_and_inputs, last_inputs, normalized, run_block
from compression.calibration import CalibrationBatch


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


@pytest.mark.parametrize("half", HALVES, ids=lambda half: half.module)
@torch.no_grad()
def test_what_a_half_reads_and_writes_is_what_its_projections_do(make_llama, batches, half):
    block = make_llama(attention_bias=True, mlp_bias=True).model.layers[0]
    hidden, inputs = embed(make_llama(), batches[0])
    output, last = half_output_and_inputs(block, half, hidden, inputs)
    assert torch.equal(output, half_output(block, half, hidden, inputs))
    assert torch.equal(last, last_inputs(block, half, hidden, inputs))
    assert torch.equal(output, block.get_submodule(half.writes.projections[0])(last))
    seen = []
    handles = [
        block.get_submodule(name).register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        for name in half.reads.projections
    ]
    half_output(block, half, hidden, inputs)
    for handle in handles:
        handle.remove()
    assert len(seen) == len(half.reads.projections)
    assert all(torch.equal(states, normalized(block, half, hidden)) for states in seen)


@torch.no_grad()
def test_reading_leaves_no_hooks_behind(llama, batches):
    hidden, inputs = embed(llama, batches[0])
    for half in HALVES:
        half_output_and_inputs(llama.model.layers[0], half, hidden, inputs)
        last_inputs(llama.model.layers[0], half, hidden, inputs)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in llama.modules())
