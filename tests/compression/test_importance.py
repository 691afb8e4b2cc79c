import copy

import pytest
import torch

from compression.allocation import RankPlan
from compression.calibration import CalibrationBatch
from compression.config import CompressionConfig
from compression.errors import CalibrationError, ConfigError
from compression.importance import SHRINKAGE, Importance, output_importance
from compression.lowrank import projection_names
from compression.pipeline import compress, dense_shapes

CANDIDATES = range(20, 61)


def allowed(batch):
    """Anything but the first few candidates, wherever something follows."""
    mask = torch.zeros(*batch.input_ids.shape, len(CANDIDATES), dtype=torch.bool)
    follows = batch.attention_mask[:, 1:].bool()
    mask[:, :-1, 5:] = follows[:, :, None]
    return mask


@torch.no_grad()
def divergence_a_token(student, teacher, batches):
    total = tokens = 0.0
    for batch in batches:
        mask = allowed(batch)
        log_p = [
            m(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
            .logits[..., list(CANDIDATES)]
            .double()
            .masked_fill(~mask, -1e9)
            .log_softmax(-1)[mask.any(dim=2)]
            for m in (teacher, student)
        ]
        total += float((log_p[0].exp() * (log_p[0] - log_p[1])).sum())
        tokens += batch.tokens
    return total / tokens


@pytest.fixture
def importance(llama, batches):
    return output_importance(llama, batches, CANDIDATES, allowed)


def test_every_projection_has_a_positive_semidefinite_matrix_of_its_rows(llama, batches, importance):
    assert list(importance.matrices) == projection_names(llama)
    assert importance.tokens == sum(batch.tokens for batch in batches)
    for name, matrix in importance.matrices.items():
        rows = llama.get_submodule(name).out_features
        assert matrix.shape == (rows, rows)
        assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-12 * float(matrix.trace())
        assert float(matrix.trace()) > 0
    assert not any(parameter.grad is not None for parameter in llama.parameters())


def test_it_repeats_with_its_seed_and_is_drawn_by_it(llama, batches):
    first, again, other = (output_importance(llama, batches, CANDIDATES, allowed, seed=seed) for seed in (1, 1, 2))
    for name, matrix in first.matrices.items():
        assert torch.equal(matrix, again.matrices[name])
        assert not torch.equal(matrix, other.matrices[name])


def test_the_parts_of_a_batch_count_as_the_batch_does(make_llama, make_batches, monkeypatch):
    batches = make_batches(lengths=(12, 9, 12, 5))
    llama, found = make_llama(), {}
    # The likeliest instead of a draw: parts draw in another order.
    monkeypatch.setattr(torch, "multinomial", lambda p, n, generator: p.argmax(dim=1, keepdim=True))
    for positions in (1, 24, 10**6):
        monkeypatch.setattr("compression.importance.POSITIONS_AT_ONCE", positions)
        found[positions] = output_importance(llama, batches, CANDIDATES, allowed)
    for part in (found[1], found[24]):
        assert part.tokens == found[10**6].tokens
        for name, matrix in found[10**6].matrices.items():
            torch.testing.assert_close(part.matrices[name], matrix, rtol=1e-4, atol=1e-6 * float(matrix.trace()))


@pytest.mark.parametrize("dead", [False, True])
def test_the_root_of_a_stack_is_that_of_its_projections_apart(dead):
    names = [f"model.layers.0.mlp.{name}_proj" for name in ("gate", "up")]
    rows = torch.randn(40, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gate, up = (part.mT @ part / 40 for part in (rows[:, :5], rows[:, 5:]))
    if dead:
        gate.zero_()
        up.zero_()
    root = Importance(dict(zip(names, (gate, up), strict=True)), 40).root("model.layers.0.mlp.gate_proj+up_proj")
    whole = root.weigh(torch.eye(12, dtype=torch.float64))  # R
    mean = float(gate.trace() + up.trace()) / 12
    expected = torch.block_diag(gate, up) + (SHRINKAGE * mean if mean else 1.0) * torch.eye(12)
    torch.testing.assert_close(whole @ whole.mT, expected)
    torch.testing.assert_close(root.unweigh(root.weigh(rows)), rows)


@pytest.mark.parametrize("name", ["model.layers.0.mlp.down_proj", "model.layers.1.self_attn.q_proj"])
def test_half_the_dropped_energy_estimates_the_divergence(llama, make_batches, name):
    batches = make_batches(lengths=(12, 9, 12, 5) * 40)
    importance = output_importance(llama, batches, CANDIDATES, allowed)
    student = copy.deepcopy(llama)
    shapes = dense_shapes(student)
    config = CompressionConfig(weigh_outputs=True, shrinkage=1e-6, scarcity=0.0)
    report = compress(student, batches, config, plan=RankPlan(shapes, {name: 15}), importance=importance)
    (linear,) = report.linears
    measured = divergence_a_token(student, llama, batches)
    assert linear.dropped_energy / 2 == pytest.approx(measured, rel=0.7)


def test_weighed_factors_diverge_less(make_llama, make_batches):
    batches = make_batches(lengths=(12, 9, 12, 5) * 40)
    apart = {}
    for weighed in (False, True):
        dense = make_llama()
        importance = output_importance(dense, batches, CANDIDATES, allowed) if weighed else None
        student = copy.deepcopy(dense)
        compress(student, batches, CompressionConfig(weigh_outputs=weighed), importance=importance)
        apart[weighed] = divergence_a_token(student, dense, batches)
    assert apart[True] < 0.9 * apart[False]


@pytest.mark.parametrize("shared", [False, True])
def test_reported_losses_still_fall_by_alignment(llama, batches, importance, shared):
    report = compress(
        llama, batches, CompressionConfig(weigh_outputs=True, shared_inputs=shared), importance=importance
    )
    for linear in report.linears:
        assert 0 <= linear.loss_after <= linear.loss_before * (1 + 1e-6)


def test_a_resumed_run_knows_the_importance(make_llama, batches, importance, tmp_path):
    config = CompressionConfig(weigh_outputs=True)
    compress(make_llama(), batches, config, work_folder=tmp_path, importance=importance)
    again = compress(make_llama(), batches, config, work_folder=tmp_path, importance=importance)
    assert again.blocks_resumed == 2
    other = output_importance(make_llama(), batches, CANDIDATES, allowed, seed=5)
    assert compress(make_llama(), batches, config, work_folder=tmp_path, importance=other).blocks_resumed == 0


@pytest.mark.parametrize("weighed", [False, True])
def test_importance_is_given_with_the_option_that_uses_it_and_only_then(llama, batches, importance, weighed):
    given = None if weighed else importance
    with pytest.raises(ConfigError, match=f"weigh_outputs is {weighed} and importance is"):
        compress(llama, batches, CompressionConfig(weigh_outputs=weighed), importance=given)


def test_sequences_without_a_choice_are_refused(llama):
    batch = CalibrationBatch(torch.ones(1, 4, dtype=torch.long), torch.ones(1, 4, dtype=torch.long))
    with pytest.raises(CalibrationError, match="no calibration sequence holds a choice"):
        output_importance(llama, [batch], CANDIDATES, lambda _: torch.zeros(1, 4, len(CANDIDATES), dtype=torch.bool))
