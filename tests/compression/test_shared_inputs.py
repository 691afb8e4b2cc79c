import copy

import pytest
import torch

from compression.checkpoint import load_model, save_model
from compression.config import CompressionConfig
from compression.errors import CheckpointError, RankError
from compression.lowrank import LowRankLinear, factored_linears, shared_inputs
from compression.pipeline import compress, count_parameters, plan_for
from odllm_artifact import read_json, write_json

SHARED = CompressionConfig(shared_inputs=True)


@pytest.fixture
def compressed(llama, batches):
    report = compress(llama, batches, SHARED)
    return llama, report


def test_q_k_v_and_gate_up_read_through_one_input_factor(compressed):
    model, report = compressed
    for block in model.model.layers:
        attention, mlp = block.self_attn, block.mlp
        assert attention.q_proj.input_factor is attention.k_proj.input_factor is attention.v_proj.input_factor
        assert mlp.gate_proj.input_factor is mlp.up_proj.input_factor
    assert [linear.name.removeprefix("model.layers.0.") for linear in report.linears[:4]] == [
        "self_attn.q_proj+k_proj+v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj+up_proj",
        "mlp.down_proj",
    ]


def test_the_budget_counts_a_shared_factor_once(compressed, make_llama):
    model, report = compressed
    dense = make_llama()
    factors = {id(p): p.numel() for layer in factored_linears(model).values() for p in layer.parameters()}
    matrices = count_parameters(dense) - count_parameters(model) + sum(factors.values())
    assert report.keep_ratio == pytest.approx(sum(factors.values()) / matrices)
    assert 0.45 < report.keep_ratio <= 0.5
    assert report.parameters_after == count_parameters(model)


def test_sharing_buys_higher_ranks(make_llama):
    dense = make_llama()
    apart, shared = plan_for(dense, CompressionConfig()), plan_for(dense, SHARED)
    assert shared.ranks["model.layers.0.mlp.gate_proj+up_proj"] > apart.ranks["model.layers.0.mlp.gate_proj"]


def test_a_stack_of_full_rank_changes_nothing(make_llama, batches):
    dense = make_llama(hidden_size=16, num_attention_heads=2, num_key_value_heads=2, intermediate_size=200)
    model = copy.deepcopy(dense)
    plan = plan_for(model, SHARED)
    name = "model.layers.1.mlp.gate_proj+up_proj"
    plan = type(plan)(plan.shapes, {name: 15}, plan.keep_ratio)
    compress(model, batches, SHARED, plan=plan)
    with torch.no_grad():
        expected = dense(batches[0].input_ids).logits
        apart = model(batches[0].input_ids).logits - expected
    assert set(factored_linears(model)) == {"model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj"}
    assert float(apart.norm() / expected.norm()) < 0.2


def test_a_shared_factor_is_stored_once_and_shared_again_by_the_reader(compressed, tmp_path, batches):
    model, _ = compressed
    save_model(model, tmp_path / "a")
    loaded = load_model(tmp_path / "a")
    assert shared_inputs(loaded) == shared_inputs(model) != {}
    assert count_parameters(loaded) == count_parameters(model)
    assert torch.equal(loaded(batches[0].input_ids).logits, model(batches[0].input_ids).logits)
    save_model(loaded, tmp_path / "b")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_a_resumed_run_gives_the_same_bits(make_llama, batches, tmp_path):
    whole, resumed = make_llama(), make_llama()
    compress(whole, batches, SHARED, work_folder=tmp_path)
    report = compress(resumed, batches, SHARED, work_folder=tmp_path)
    assert report.blocks_resumed == 2
    assert shared_inputs(resumed) == shared_inputs(whole)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize(
    ("shared", "message"),
    [
        ({"model.layers.0.mlp.up_proj": "model.layers.0.mlp.side_proj"}, "one has no rank"),
        ({"model.layers.0.mlp.down_proj": "model.layers.0.mlp.gate_proj"}, "cannot stand in"),
    ],
)
def test_sharing_that_does_not_fit_the_ranks_is_refused(compressed, tmp_path, shared, message):
    save_model(compressed[0], tmp_path)
    content = read_json(tmp_path / "low_rank.json")
    write_json(tmp_path / "low_rank.json", content | {"shared_inputs": shared})
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path)


def test_layers_of_other_ranks_cannot_share():
    with pytest.raises(RankError, match="2 × 6 cannot stand in for one of 3 × 6"):
        LowRankLinear(6, 4, 3).share_input(LowRankLinear(6, 4, 2))
