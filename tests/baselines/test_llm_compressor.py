"""Against the real llm-compressor: what it makes of our models is a plain folder of ours.

Runs in an environment of its own (`make baselines`): llm-compressor excludes the transformers that we use.
"""

import pytest
import torch
from safetensors.torch import save_file

from compression.checkpoint import load_model
from compression.lowrank import projection_names
from odllm.baselines.llm_compressor import RECORD, batches_of_one_length, run
from odllm_artifact import read_json

pytest.importorskip("llmcompressor", reason="llm-compressor has an environment of its own: make baselines")

pytestmark = [
    pytest.mark.baselines,
    pytest.mark.filterwarnings("default"),  # the libraries' own
]


@pytest.fixture
def folder(make_model_folder):
    return make_model_folder(hidden_size=64, intermediate_size=96)[0]


@pytest.fixture
def sequences(tmp_path):
    """Right-padded random sequences of three lengths."""
    torch.manual_seed(0)
    ids = torch.randint(10, 22, (60, 12))
    mask = torch.ones_like(ids)
    mask[20:40, 9:], mask[40:, 5:] = 0, 0
    save_file({"input_ids": ids * mask, "attention_mask": mask}, tmp_path / "sequences.safetensors")
    return tmp_path / "sequences.safetensors"


def projections(model):
    return {name: model.get_submodule(name).weight.detach() for name in projection_names(model)}


def output_error(dense, other):
    """Mean square error of the logits over random histories."""
    torch.manual_seed(1)
    ids = torch.randint(10, 22, (64, 12))
    with torch.no_grad():
        return float((dense(ids).logits - other(ids).logits).square().mean())


def test_gptq_leaves_sixteen_values_a_group_and_errs_less_than_rounding(folder, sequences, tmp_path):
    run(folder, sequences, tmp_path / "out", "gptq", group=32)
    dense, found = load_model(folder), load_model(tmp_path / "out")
    rounded = load_model(folder)
    for name, weight in projections(found).items():
        groups = weight.reshape(-1, 32)
        # The grid's step is unknown here, its range is not: 4 bits are at most 16 values.
        assert max(len(torch.unique((group * 1e4).round())) for group in groups) <= 16
        exact = dense.get_submodule(name).weight.detach().reshape(-1, 32)
        step = exact.abs().amax(dim=1, keepdim=True) / 7.5
        nearest = (exact / step).round().clamp(-8, 7) * step
        rounded.get_submodule(name).weight.data.copy_(nearest.reshape(weight.shape))
    assert 0 < output_error(dense, found) < output_error(dense, rounded)
    record = read_json(tmp_path / "out" / RECORD)
    assert record["options"] == {"bits": 4, "group": 32}
    assert record["tokens"] == 20 * (12 + 9 + 5)


@pytest.mark.parametrize("mask", ["0:0", "2:4"])
def test_sparsegpt_leaves_half_and_errs_less_than_dropping_the_smallest(folder, sequences, tmp_path, mask):
    run(folder, sequences, tmp_path / "out", "sparsegpt", mask=mask)
    dense, found, dropped = load_model(folder), load_model(tmp_path / "out"), load_model(folder)
    for name, weight in projections(found).items():
        assert float((weight == 0).float().mean()) == pytest.approx(0.5, abs=0.01)
        if mask == "2:4":
            assert int((weight.reshape(-1, 4) != 0).sum(dim=1).max()) == 2
        exact = dropped.get_submodule(name).weight.data
        exact[exact.abs() < exact.abs().median()] = 0
    assert 0 < output_error(dense, found) < output_error(dense, dropped)


def test_all_but_the_projections_stays(folder, sequences, tmp_path):
    run(folder, sequences, tmp_path / "out", "sparsegpt")
    before, after = load_model(folder).state_dict(), load_model(tmp_path / "out").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{name}.weight" for name in projection_names(load_model(folder))}


def test_batches_hold_every_token_once_and_no_padding(sequences):
    from safetensors.torch import load_file

    batches = list(batches_of_one_length(load_file(sequences)))
    assert all(bool(batch["attention_mask"].all()) for batch in batches)
    assert sum(batch["input_ids"].numel() for batch in batches) == 20 * (12 + 9 + 5)
    assert all(int(batch["input_ids"].min()) >= 10 for batch in batches)
