import copy

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from compression.allocation import RankPlan
from compression.checkpoint import load_model, save_model
from compression.config import CompressionConfig, preset
from compression.errors import CalibrationError, KeepRatioError, RankError, UnsupportedModelError
from compression.lowrank import factored_linears, projection_names
from compression.pipeline import compress, count_parameters, dense_shapes, plan_for
from compression.recovery import divergence
from compression.report import CompressionReport

VARIANTS = {
    "default": CompressionConfig(),
    "blended": CompressionConfig(alpha=0.5),
    "update": CompressionConfig(alignment="update"),
    "whitened": preset("whitened"),
    "plain-svd": preset("plain-svd"),
}


class Killed(KeyboardInterrupt):
    """Ctrl-C, as far as the run can tell."""


def kill_after_block(block):
    """A progress that ends the run when it hears of the block after `block`."""

    def progress(done, total, note=""):
        if done > block:
            raise Killed

    return progress


@torch.no_grad()
def divergence_between(student, teacher, batches):
    total = 0.0
    for batch in batches:
        keep = batch.attention_mask.bool()
        logits = [
            m(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[keep] for m in (student, teacher)
        ]
        total += float(divergence(*logits)) * batch.tokens
    return total / sum(batch.tokens for batch in batches)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_all_seven_projections_of_a_grouped_query_model_are_replaced(llama, batches, variant):
    config = VARIANTS[variant]
    plan = plan_for(llama, config)
    before = count_parameters(llama)
    report = compress(llama, batches, config)
    assert list(factored_linears(llama)) == projection_names(llama) == [linear.name for linear in report.linears]
    assert report.ranks == plan.ranks == {name: layer.rank for name, layer in factored_linears(llama).items()}
    factors = sum(p.numel() for layer in factored_linears(llama).values() for p in layer.parameters())
    dense = sum(linear.shape[0] * linear.shape[1] for linear in report.linears)
    assert report.keep_ratio == pytest.approx(factors / dense)
    assert 0.45 < report.keep_ratio <= 0.5
    assert (report.parameters_before, report.parameters_after) == (before, count_parameters(llama))
    assert report.model_size_ratio == pytest.approx(count_parameters(llama) / before)
    logits = llama(batches[0].input_ids).logits
    assert torch.isfinite(logits).all()


def test_the_report_tells_the_loss_of_every_projection(llama, batches):
    report = compress(llama, batches, CompressionConfig())
    for linear in report.linears:
        assert 0 <= linear.loss_after <= linear.loss_before * (1 + 1e-6)
        assert linear.condition >= 1
        assert 0 < linear.effective_rank <= linear.shape[1]
        assert 0 < linear.singular_values.kept_energy <= 1
        assert linear.singular_values.largest >= linear.singular_values.at_rank >= 0
    assert report.tokens == 304
    assert report.sequences == 32
    assert msgspec.json.decode(msgspec.json.encode(report), type=CompressionReport) == report


def test_alignment_brings_the_model_closer_to_the_dense_one(make_llama, make_batches):
    dense = make_llama(num_hidden_layers=3)
    calibration, others = make_batches((16,) * 128, size=32), make_batches((16,) * 32, seed=9)
    distances = {}
    for variant in ("plain-svd", "whitened", "default"):
        student = copy.deepcopy(dense)
        compress(student, calibration, VARIANTS[variant])
        distances[variant] = divergence_between(student, dense, others)
    assert distances["default"] < distances["whitened"] < distances["plain-svd"]


def test_keep_ratio_one_leaves_the_model_as_it_is(llama, batches):
    before = {name: tensor.clone() for name, tensor in llama.state_dict().items()}
    report = compress(llama, batches, CompressionConfig(keep_ratio=1.0))
    assert (report.keep_ratio, report.model_size_ratio, report.linears) == (1.0, 1.0, ())
    after = llama.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_dense_projections_keep_their_weights(llama, batches):
    weight = llama.model.layers[0].mlp.down_proj.weight.clone()
    report = compress(llama, batches, CompressionConfig(dense=("model.layers.0.mlp.*",)))
    assert torch.equal(llama.model.layers[0].mlp.down_proj.weight, weight)
    assert len(report.linears) == 11
    assert report.keep_ratio <= 0.5


def test_biases_are_kept(make_llama, batches):
    model = make_llama(attention_bias=True, mlp_bias=True)
    biases = {name: model.get_submodule(name).bias.clone() for name in projection_names(model)}
    compress(model, batches, CompressionConfig(keep_ratio=0.9))
    for name, layer in factored_linears(model).items():
        assert torch.equal(layer.output_factor.bias, biases[name])


@pytest.mark.parametrize("alignment", ["free", "update", "none"])
def test_a_bias_changes_no_factor_of_the_first_block(make_llama, batches, alignment):
    """Targets and outputs leave the bias out, so a bias on q shows in q's factors nowhere."""
    plain = make_llama()
    biased = make_llama(attention_bias=True)
    for name in projection_names(plain):
        biased.get_submodule(name).weight.data.copy_(plain.get_submodule(name).weight.data)
    biased.load_state_dict(plain.state_dict(), strict=False)
    reports = [compress(model, batches, CompressionConfig(alignment=alignment)) for model in (plain, biased)]
    for first, second in zip(*(report.linears[:3] for report in reports), strict=True):
        assert first.loss_after == pytest.approx(second.loss_after, rel=1e-4)


def test_a_compressed_model_saves_and_loads_bit_equal(llama, batches, tmp_path):
    compress(llama, batches, CompressionConfig())
    save_model(llama, tmp_path / "first")
    loaded = load_model(tmp_path / "first")
    save_model(loaded, tmp_path / "second")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second
    assert torch.equal(loaded(batches[0].input_ids).logits, llama(batches[0].input_ids).logits)


@pytest.mark.parametrize(("variant", "block"), [("default", 0), ("default", 2), ("update", 1)])
def test_a_killed_run_goes_on_with_the_same_bits(make_llama, batches, tmp_path, variant, block):
    dense = make_llama(num_hidden_layers=3, attention_bias=True)
    config = VARIANTS[variant]
    whole = copy.deepcopy(dense)
    expected = compress(whole, batches, config)
    with pytest.raises(Killed):
        compress(copy.deepcopy(dense), batches, config, work_folder=tmp_path, progress=kill_after_block(block))
    resumed = copy.deepcopy(dense)
    report = compress(resumed, batches, config, work_folder=tmp_path)
    assert report.blocks_resumed == block
    assert report.linears == expected.linears
    state = resumed.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize("change", ["config", "calibration", "model"])
def test_blocks_of_another_run_are_not_taken_over(llama, make_batches, tmp_path, change):
    other = copy.deepcopy(llama)
    compress(llama, make_batches(), CompressionConfig(), work_folder=tmp_path)
    config, batches = CompressionConfig(), make_batches()
    if change == "config":
        config = CompressionConfig(alpha=0.5)
    elif change == "calibration":
        batches = make_batches(seed=4)
    else:
        other.model.norm.weight.data.mul_(2)
    assert compress(other, batches, config, work_folder=tmp_path).blocks_resumed == 0


def test_a_damaged_block_is_done_again(llama, batches, tmp_path):
    dense = copy.deepcopy(llama)
    compress(llama, batches, CompressionConfig(), work_folder=tmp_path)
    path = tmp_path / "block-000.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert compress(dense, batches, CompressionConfig(), work_folder=tmp_path).blocks_resumed == 1
    name = "model.layers.0.mlp.down_proj.input_factor.weight"
    assert torch.equal(load_file(path)[name], llama.state_dict()[name])


def test_padding_changes_no_factor(llama, batches):
    padded = copy.deepcopy(llama)
    wider = [
        type(b)(
            torch.nn.functional.pad(b.input_ids, (4, 3), value=9), torch.nn.functional.pad(b.attention_mask, (4, 3))
        )
        for b in batches
    ]
    compress(llama, batches, CompressionConfig())
    compress(padded, wider, CompressionConfig())
    for name, layer in factored_linears(llama).items():
        other = padded.get_submodule(name).dense_weight()
        torch.testing.assert_close(layer.dense_weight(), other, rtol=0, atol=2e-3)


def test_half_precision_models_stay_in_half_precision(llama, batches):
    compress(llama.to(torch.bfloat16), batches, CompressionConfig())
    assert {parameter.dtype for parameter in llama.parameters()} == {torch.bfloat16}


def test_the_model_is_left_in_the_mode_it_was_in(llama, batches):
    llama.train()
    compress(llama, batches, CompressionConfig())
    assert llama.training
    assert all(parameter.requires_grad for parameter in llama.parameters())


def test_few_tokens_are_recorded_not_hidden(llama, make_batches):
    report = compress(llama, make_batches((10, 10, 10)), CompressionConfig())
    events = [event for linear in report.linears for event in linear.events]
    assert any("30 calibration tokens for 32 unknowns a row: alignment 'free' left out" in event for event in events)


def test_one_token_repeated_is_survived_and_recorded(llama, batches):
    constant = [type(b)(torch.full_like(b.input_ids, 5), b.attention_mask) for b in batches]
    report = compress(llama, constant, CompressionConfig(shrinkage=0.0, scarcity=0.0))
    assert any(linear.route == "eigen" and linear.events for linear in report.linears)
    assert torch.isfinite(llama(constant[0].input_ids).logits).all()


def test_fewer_tokens_than_the_rank_are_refused_before_any_work(llama, make_batches):
    with pytest.raises(CalibrationError, match=r"4 calibration tokens cannot determine factors of rank 9\. Give more"):
        compress(llama, make_batches((4,)), CompressionConfig())
    assert not factored_linears(llama)


def test_plain_svd_needs_no_more_than_one_token(llama, make_batches):
    compress(llama, make_batches((4,)), preset("plain-svd"))
    assert len(factored_linears(llama)) == 14


def test_nan_weights_name_the_layer(llama, batches):
    with torch.no_grad():
        llama.model.layers[1].self_attn.k_proj.weight[0, 0] = float("nan")
    with pytest.raises(CalibrationError, match=r"outputs of model\.layers\.1\.self_attn\.k_proj \(dense model"):
        compress(llama, batches, CompressionConfig())


def test_another_family_is_refused(batches):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=61, n_embd=16, n_layer=1, n_head=2))
    with pytest.raises(UnsupportedModelError, match=r"model_type is 'gpt2'; supported: 'llama', 'mistral',"):
        compress(model, batches, CompressionConfig())


def test_a_compressed_model_is_not_compressed_again(llama, batches):
    compress(llama, batches, CompressionConfig())
    with pytest.raises(UnsupportedModelError, match=r"14 projections .* low-rank already\. Compress the dense model"):
        compress(llama, batches, CompressionConfig())


def test_a_plan_decides_the_ranks(llama, batches, tmp_path):
    other = copy.deepcopy(llama)
    shapes = dense_shapes(llama)
    plan = RankPlan(shapes, {name: 5 + i for i, name in enumerate(list(shapes)[:4])}, 0.5)
    report = compress(llama, batches, CompressionConfig(), plan=plan, work_folder=tmp_path)
    assert report.ranks == plan.ranks
    assert report.keep_ratio == plan.achieved_keep_ratio
    assert compress(other, batches, CompressionConfig(), work_folder=tmp_path).blocks_resumed == 0


@pytest.mark.parametrize(
    ("shapes", "ranks", "message"),
    [
        ({}, {}, r"another model: model\.layers\.0\.self_attn\.q_proj is not in the plan.* and 10 more"),
        ({"model.layers.9.x": (3, 3)}, None, r"the model has no model\.layers\.9\.x\. Make a plan for this model"),
        ({"model.layers.0.mlp.up_proj": (3, 3)}, None, r"up_proj is \[48, 32\] in the model and \[3, 3\] in the plan"),
        (None, {"model.layers.0.mlp.up_proj": 20}, r"up_proj \(48 × 32\) has rank 20, expected 1 to 19\. Above that"),
        (None, {"model.layers.0.mlp.up_proj": 0}, "has rank 0, expected 1 to 19"),
        (None, {"lm_head": 4}, "lm_head has a rank but no shape"),
    ],
)
def test_a_plan_for_another_model_is_refused_before_any_work(llama, batches, shapes, ranks, message):
    known = dense_shapes(llama)
    plan = RankPlan(known if shapes is None else shapes and known | shapes, ranks or {})
    with pytest.raises(RankError, match=message):
        compress(llama, batches, CompressionConfig(), plan=plan)
    assert not factored_linears(llama)


def test_a_ratio_no_rank_can_meet_is_refused_before_any_work(llama, batches):
    with pytest.raises(KeepRatioError, match="cannot be met"):
        compress(llama, batches, CompressionConfig(keep_ratio=0.01))
    assert not factored_linears(llama)
