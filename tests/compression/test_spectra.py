import copy
import itertools

import numpy as np
import pytest
import torch

from compression.allocation import Budget
from compression.calibration import CalibrationBatch
from compression.config import CompressionConfig, preset
from compression.errors import CalibrationError
from compression.factorize import energies_of
from compression.greedy import allocate
from compression.importance import Importance, output_importance
from compression.input_sums import InputSums
from compression.pipeline import compress, dense_shapes, unit_shapes
from compression.sensitivity import LossReport, ProjectionLoss, measure_losses
from compression.spectra import relative_losses

QUERY = "model.layers.1.self_attn.q_proj"


@pytest.fixture
def shapes(llama):
    return dense_shapes(llama)


def test_losses_are_the_tail_of_the_energies():
    assert relative_losses(torch.tensor([6.0, 3.0, 1.0])) == pytest.approx([1.0, 0.4, 0.1, 0.0])
    assert relative_losses(torch.zeros(3)) == [0.0] * 4


@pytest.mark.parametrize("name", ["whitened", "plain-svd"])
def test_the_spectrum_tells_the_error_of_every_rank_before_it_is_cut(llama, batches, shapes, name):
    """In the dense model, at the very inputs the spectra come from: compression of one projection alone agrees."""
    config = preset(name, alignment="none", shrinkage=0.0, scarcity=0.0)
    found = measure_losses(llama, batches, config, shapes).projections[QUERY].energies
    report = compress(copy.deepcopy(llama), batches, config)
    first = report.linears[0]  # the only group whose inputs nothing has shifted
    energies = measure_losses(llama, batches, config, shapes).projections[first.name].energies
    if name == "whitened":
        assert energies[first.rank] == pytest.approx(first.loss_before, rel=1e-6)
    assert len(found) == min(shapes[QUERY]) + 1
    assert found[0] == 1.0
    assert found[-1] == 0.0
    assert all(a >= b for a, b in itertools.pairwise(found))


def test_padding_changes_no_spectrum(llama, batches, shapes):
    wider = [
        type(b)(
            torch.nn.functional.pad(b.input_ids, (4, 3), value=9), torch.nn.functional.pad(b.attention_mask, (4, 3))
        )
        for b in batches
    ]
    plain, padded = (measure_losses(llama, some, CompressionConfig(), shapes).projections for some in (batches, wider))
    for name, found in plain.items():
        np.testing.assert_allclose(found.energies, padded[name].energies, atol=1e-5)


def test_the_probe_finds_the_projection_that_matters(make_llama, batches):
    """Block 1's MLP writes nothing, so cutting it costs nothing, whatever its spectrum says."""
    model = make_llama()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.zero_()
    shapes = dense_shapes(model)
    report = measure_losses(model, batches, CompressionConfig(), shapes, probe=batches[:2])
    assert report.projections["model.layers.1.mlp.up_proj"].divergence == pytest.approx(0, abs=1e-6)
    assert report.projections["model.layers.0.mlp.up_proj"].divergence > 1e-4
    plan = allocate(shapes, report.curves(), Budget(0.5))
    assert plan.ranks["model.layers.1.mlp.up_proj"] < plan.ranks.get("model.layers.0.mlp.up_proj", 99)


def test_the_probe_leaves_the_model_as_it_was(llama, batches, shapes):
    before = copy.deepcopy(llama.state_dict())
    llama.train()
    measure_losses(llama, batches, CompressionConfig(), shapes, probe=batches[:1], code_token_ids=range(10, 40))
    assert llama.training
    assert all(torch.equal(before[name], tensor) for name, tensor in llama.state_dict().items())


def test_the_probe_counts_positions_before_a_code_only(llama, batches, shapes):
    report = measure_losses(llama, batches, CompressionConfig(), shapes, probe=batches, code_token_ids=range(30, 61))
    following = [int(((b.input_ids[:, 1:] >= 30) & (b.attention_mask[:, 1:] == 1)).sum()) for b in batches]
    assert report.probe_tokens == sum(following) < report.tokens == 304


def test_a_probe_without_codes_is_refused(llama, batches, shapes):
    with pytest.raises(CalibrationError, match="no code token follows"):
        measure_losses(llama, batches, CompressionConfig(), shapes, probe=batches[:1], code_token_ids=[0])


def test_nan_activations_name_the_layer(llama, batches, shapes):
    with torch.no_grad():
        llama.model.layers[1].input_layernorm.weight[0] = float("nan")
    with pytest.raises(CalibrationError, match=r"inputs at model\.layers\.1\.self_attn\.q_proj"):
        measure_losses(llama, batches, CompressionConfig(), shapes)


def test_where_the_probe_cut_nothing_the_usual_price_stands_in():
    report = LossReport(
        {
            "a": ProjectionLoss((1.0, 0.5, 0.0), 1, 2.0),
            "b": ProjectionLoss((1.0, 0.0, 0.0), 1, 0.0),
        },
        tokens=9,
        probe_tokens=5,
        seconds=0.0,
    )
    assert report.curves() == {"a": [4.0, 2.0, 0.0], "b": [4.0, 0.0, 0.0]}


def test_importance_gives_losses_in_nats(llama, batches, shapes):
    """Twice the importance of one projection's outputs: twice its losses, and nobody else's."""
    plain = Importance({name: torch.eye(rows, dtype=torch.float64) for name, (rows, _) in shapes.items()}, 9)
    heavier = Importance(plain.matrices | {QUERY: 2 * plain.matrices[QUERY]}, 9)
    light, heavy = (
        measure_losses(llama, batches, CompressionConfig(), shapes, importance=one).curves() for one in (plain, heavier)
    )
    assert heavy[QUERY] == pytest.approx([2 * loss for loss in light[QUERY]])
    assert all(heavy[name] == light[name] for name in shapes if name != QUERY)


def test_projections_that_share_an_input_factor_are_cut_together(llama, batches):
    shapes = unit_shapes(llama, shared=True)
    config = CompressionConfig(shared_inputs=True)
    report = measure_losses(llama, batches, config, shapes, probe=batches[:1])
    assert list(report.projections) == list(shapes)
    plan = allocate(shapes, report.curves(), Budget(0.5))
    assert compress(llama, batches, config, plan=plan).keep_ratio == plan.achieved_keep_ratio <= 0.5


def test_spectra_of_what_the_gradients_pass_has_read_are_those_of_a_pass_of_their_own(llama, batches):
    shapes = unit_shapes(llama, shared=True)
    config = preset("default")
    inputs = InputSums(llama)
    silent = CalibrationBatch(batches[0].input_ids, batches[0].attention_mask)  # a batch where nothing is chosen counts
    every = [*batches, silent]

    def allowed(batch):
        nothing = torch.zeros(*batch.input_ids.shape, 5, dtype=torch.bool)
        return nothing if torch.equal(batch.input_ids, silent.input_ids) else ~nothing

    importance = output_importance(llama, every, range(20, 25), allowed, inputs=inputs)
    own, shared = (
        measure_losses(llama, every, config, shapes, importance=importance, inputs=one).curves()
        for one in (None, inputs)
    )
    for name, curve in own.items():
        assert shared[name] == pytest.approx(curve, rel=1e-4, abs=1e-6 * curve[0])


@pytest.mark.parametrize(("rows", "columns"), [(12, 20), (20, 12)])
def test_energies_without_vectors_are_those_of_the_factors(rows, columns):
    weighed = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.linalg.svdvals(weighed).square()
    torch.testing.assert_close(energies_of(weighed), expected)
