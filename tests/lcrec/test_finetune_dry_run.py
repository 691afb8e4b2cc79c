from collections import Counter

import pytest
import torch
from finetuning import make_job, write_base
from transformers import AutoConfig, AutoModelForCausalLM

from lcrec.finetune.batches import plan_epoch
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.dry_run import dry_run
from lcrec.finetune.learning import Learner
from lcrec.finetune.memory import block_bytes_a_token, estimate_memory
from lcrec.finetune.response_loss import ResponseLoss
from lcrec.finetune.run import fine_tune
from lcrec.finetune.samples import task_mixture
from lcrec.finetune.starting import Start
from lcrec.finetune.stepping import learned_tokens
from lcrec.prompt import PromptText

ROWS, TOKENS = 4, 25


@pytest.fixture
def base(tmp_path):
    return write_base(tmp_path / "base")


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(users=40)


def test_what_is_foretold_is_what_a_run_takes(base, dataset, tmp_path):
    job = make_job(base, dataset, epochs=1)
    found = dry_run(job, measure=False)
    report = fine_tune(job, tmp_path / "out", facts={"name": "toy"})
    assert found.steps == report["steps"]
    assert sum(count.tokens for count in found.tasks.values()) == report["tokens"]
    assert (found.parameters, found.learned_parameters) == (report["parameters"], report["learned_parameters"])


def test_samples_are_counted_and_shown_by_task(base, dataset):
    found = dry_run(make_job(base, dataset, tasks=("seqrec", "item2index")), measure=False)
    assert set(found.tasks) == set(found.previews) == {"seqrec", "item2index"}
    assert found.tasks["item2index"].samples == 60
    assert found.tasks["item2index"].learned_tokens == 60 * 3
    assert "«<" in found.previews["item2index"]


def test_a_few_steps_are_timed_and_their_share_of_the_peak_told(base, dataset):
    found = dry_run(make_job(base, dataset), peak_tflops=1.0)
    assert found.measured
    assert found.seconds == pytest.approx(
        found.tokens_per_second and found.tasks["seqrec"].tokens * 2 / found.tokens_per_second
    )
    assert found.peak_share == pytest.approx(found.flops_a_token * found.tokens_per_second / 1e12)


def test_memory_is_that_of_the_batch_that_needs_most(base, dataset):
    job = make_job(base, dataset, tasks=("seqrec", "index2item"), task_weights={"index2item": 5.0}, device_tokens=30)
    found = dry_run(job, measure=False)
    start = job.start()
    samples = task_mixture(start, dataset, job.config).epoch(0)
    plan = plan_epoch(samples.lengths(), job.config, 0)
    most = max(learned_tokens([[samples[i] for i in batch]]) for step in plan.steps for batch in step)
    assert found.memory.logits == 12 * start.model.config.vocab_size * most
    budget = dry_run(make_job(base, dataset, device_tokens=samples.lengths().max()), measure=False)
    assert found.memory.activations == budget.memory.activations  # a sample over the budget is alone


def test_the_head_counts_where_a_token_is_predicted(base, dataset):
    model = make_job(base, dataset).start().model
    found = dry_run(make_job(base, dataset), measure=False)
    count = found.tasks["seqrec"]
    head = model.get_output_embeddings().weight.numel()
    blocks = sum(weight.numel() for weight in model.parameters() if weight.dim() > 1) - head
    assert found.flops_a_token == pytest.approx(6 * (blocks + head * count.learned_tokens / count.tokens), abs=1)


def test_a_given_throughput_is_taken_and_no_weights_are_read(base, dataset, tmp_path):
    (tmp_path / "base" / "model.safetensors").unlink()
    found = dry_run(make_job(base, dataset), tokens_per_second=100.0)
    assert not found.measured
    assert found.seconds == pytest.approx(found.tasks["seqrec"].tokens * 2 / 100)


def test_nothing_is_written(base, dataset, tmp_path):
    dry_run(make_job(base, dataset))
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def kept_by_autograd(model, *, in_bfloat16):
    """Return the bytes that a forward pass keeps for the backward pass, weights and their casts left out, a token."""
    loss = ResponseLoss(model.train(), bfloat16=in_bfloat16)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    shapes = {shape for weight in model.parameters() if weight.dim() > 1 for shape in (weight.shape, weight.T.shape)}
    kept, alive = Counter(), []

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.shape not in shapes:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    ids = torch.randint(0, 40, (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss(ids, torch.ones_like(ids, dtype=torch.bool))
    return sum(kept.values()) / (ROWS * TOKENS)


def make_shape(blocks):
    shape = AutoConfig.for_model(
        "llama",
        hidden_size=96,
        intermediate_size=232,
        num_hidden_layers=blocks,
        num_attention_heads=6,
        num_key_value_heads=2,
        vocab_size=40,
        max_position_embeddings=64,
    )
    return AutoModelForCausalLM.from_config(shape)


@pytest.mark.parametrize("in_bfloat16", [True, False])
def test_a_blocks_activations_are_those_that_autograd_keeps(in_bfloat16):
    one, two = (kept_by_autograd(make_shape(blocks), in_bfloat16=in_bfloat16) for blocks in (1, 2))
    expected = block_bytes_a_token(make_shape(1).config, in_bfloat16=in_bfloat16)
    assert two - one == pytest.approx(expected, rel=1e-9)


def test_adapters_with_dropout_keep_about_what_is_foretold():
    kept, foretold = [], []
    config = FineTuneConfig(learning="lora", lora_dropout=0.05)
    for blocks in (1, 2):
        learner = Learner(Start(make_shape(blocks), None, PromptText("", "", ""), 10, 12), config, in_bfloat16=True)
        kept.append(kept_by_autograd(learner.model, in_bfloat16=True))
        options = {"tokens": 50, "predicted_tokens": 50, "in_bfloat16": True, "checkpointing": False}
        foretold.append(estimate_memory(learner.model, config, **options).activations / 50)
    assert kept[1] - kept[0] == pytest.approx(foretold[1] - foretold[0], rel=0.1)


def test_checkpointing_keeps_a_hidden_state_a_block():
    kept = []
    for blocks in (1, 2):
        model = make_shape(blocks)
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        kept.append(kept_by_autograd(model, in_bfloat16=True))
    assert kept[1] - kept[0] == pytest.approx(4 * 96, rel=1e-9)


def test_shards_divide_what_belongs_to_weights(base, dataset):
    config, model = make_job(base, dataset).config, make_shape(2)
    options = {"tokens": 200, "predicted_tokens": 100, "in_bfloat16": True, "checkpointing": False}
    whole, half = (estimate_memory(model, config, shards=shards, **options) for shards in (1, 2))
    assert [getattr(half, name) * 2 for name in ("weights", "gradients", "optimizer")] == [
        getattr(whole, name) for name in ("weights", "gradients", "optimizer")
    ]
    assert half.activations == whole.activations
    assert whole.optimizer == 2 * whole.gradients == 2 * whole.weights
