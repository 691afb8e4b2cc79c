import copy

import pytest
import torch
from torch import nn

from compression.lowrank import factored_linears
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig
from compression.whitened_adam import WIDEST, WhitenedAdam, input_roots


def minimise(weight, optimizer, steps=5):
    """Step down a loss whose gradients change from step to step."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x, y = torch.randn(16, weight.shape[1], generator=generator), torch.randn(16, len(weight), generator=generator)
        optimizer.zero_grad()
        (x @ weight.mT - y).square().sum().backward()
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_without_roots_it_is_torchs_adamw(decay):
    first = torch.randn(3, 5)
    ours, theirs = nn.Parameter(first.clone()), nn.Parameter(first.clone())
    found = minimise(ours, WhitenedAdam([ours], {}, decay))
    torch.testing.assert_close(found, minimise(theirs, torch.optim.AdamW([theirs], weight_decay=decay)))
    assert not torch.equal(found, first)


def test_with_a_root_it_is_adam_on_the_weights_of_whitened_inputs():
    """W = W̃·Rᵀ: steps of W̃ under torch's Adam, and what becomes of W."""
    first, root = torch.randn(3, 5), torch.randn(5, 5) + 3 * torch.eye(5)
    ours = nn.Parameter(first.clone())
    inner = nn.Parameter(first @ torch.linalg.inv(root).mT)
    optimizer = torch.optim.Adam([inner])
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        x, y = torch.randn(16, 5, generator=generator), torch.randn(16, 3, generator=generator)
        optimizer.zero_grad()
        (x @ (inner @ root.mT).mT - y).square().sum().backward()
        optimizer.step()
    found = minimise(ours, WhitenedAdam([ours], {ours: root}))
    torch.testing.assert_close(found, (inner @ root.mT).detach(), atol=1e-5, rtol=1e-5)


def test_what_has_no_gradient_stays():
    moved, still = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = WhitenedAdam([moved, still], {still: torch.eye(2)}, weight_decay=0.1)
    moved.sum().backward()
    optimizer.step()
    assert torch.equal(still, torch.ones(2, 2))
    assert not torch.equal(moved, torch.ones(2, 2))


def test_roots_whiten_what_the_layers_read_padding_left_out(pair, batches):
    student, _ = pair
    learning = list(student.parameters())
    layer = next(iter(factored_linears(student).values())).input_factor
    read = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    roots = input_roots(
        student,
        learning,
        batches,
        lambda batch: student(input_ids=batch.input_ids, attention_mask=batch.attention_mask),
    )
    hook.remove()
    x = torch.cat([one[batch.attention_mask.bool()] for one, batch in zip(read, batches, strict=True)])
    size = x.shape[1]
    shrunk = x.mT @ x / (x.square().sum() / size) + 1e-2 * torch.eye(size)
    whitened = roots[layer.weight].mT @ shrunk @ roots[layer.weight]
    torch.testing.assert_close(whitened, torch.eye(size) * whitened[0, 0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(roots[layer.weight].norm(), torch.tensor(float(size)).sqrt())
    assert not any(module._forward_pre_hooks for module in student.modules())
    assert all(parameter.dim() == 2 for parameter in roots)


def test_layers_that_are_too_wide_or_read_nothing_finite_are_not_whitened(batches):
    model = nn.Module()
    model.wide, model.narrow = nn.Linear(WIDEST + 1, 1), nn.Linear(3, 2)

    def run(batch):
        model.wide(torch.ones(*batch.input_ids.shape, WIDEST + 1))
        model.narrow(torch.full((*batch.input_ids.shape, 3), float("inf")))

    roots = input_roots(model, model.parameters(), batches, run)
    assert list(roots) == [model.narrow.weight]
    assert torch.equal(roots[model.narrow.weight], torch.eye(3))


def test_a_recovery_can_do_without(pair, batches):
    student, teacher = pair
    twin = copy.deepcopy(student)
    plain, whitened = (
        recover(model, teacher, batches, RecoveryConfig(max_steps=40, learning_rate=1e-3, whiten=whiten))
        for model, whiten in ((student, False), (twin, True))
    )
    assert plain.kl_first == pytest.approx(whitened.kl_first, rel=0.2)
    assert max(plain.kl_last, whitened.kl_last) < plain.kl_first
    assert not torch.equal(*(next(iter(factored_linears(m).values())).input_factor.weight for m in (student, twin)))
