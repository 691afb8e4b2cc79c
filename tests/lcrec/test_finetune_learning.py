import pytest
import torch

from lcrec.errors import FineTuningError
from lcrec.finetune.code_rows import scaled_update
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.learning import Learner, require_peft, total_parameters
from lcrec.finetune.response_loss import ResponseLoss
from lcrec.finetune.starting import Start
from lcrec.prompt import PromptText

FIRST, ROWS = 10, 12
TABLES = ("model.embed_tokens.weight", "lm_head.weight")
WAYS = {
    "full": FineTuneConfig(),
    "new-rows": FineTuneConfig(learning="new-rows"),
    "lora-all": FineTuneConfig(learning="lora", lora_dropout=0.0),
    "lora-new-rows": FineTuneConfig(learning="lora", embeddings="new-rows", lora_dropout=0.0),
}
tied = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def make_learner(make_model):
    def make(way, tied, dtype=torch.float32, *, in_bfloat16=False):
        model = make_model(25, tie_word_embeddings=tied).to(dtype)
        return Learner(Start(model, None, PromptText("", "", ""), FIRST, ROWS), WAYS[way], in_bfloat16=in_bfloat16)

    return make


@pytest.fixture
def batch():
    ids = torch.randint(0, 22, (3, 9), generator=torch.Generator().manual_seed(0))
    predicted = torch.ones_like(ids, dtype=torch.bool)
    predicted[:, :4] = False
    return ids, predicted


def learn(learner, batch, steps=3):
    loss, optimizer = ResponseLoss(learner.model, bfloat16=False), torch.optim.AdamW(learner.parameters, lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(*batch).backward()
        optimizer.step()
    return float(loss.eval()(*batch).detach())


def values(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def test_the_loss_is_transformers_own_over_the_responses(make_model, batch):
    model = make_model(25)
    ids, predicted = batch
    labels = ids.masked_fill(~predicted, -100)
    expected = model(input_ids=ids, labels=labels).loss * predicted[:, 1:].sum()
    assert torch.allclose(ResponseLoss(model, bfloat16=False)(ids, predicted), expected)


def test_a_batch_without_samples_gives_every_weight_a_gradient_of_zero(make_model):
    model = make_model(25, tie_word_embeddings=False)
    ResponseLoss(model, bfloat16=False)(torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2).bool()).backward()
    assert all(weight.grad is not None and not weight.grad.any() for weight in model.parameters())


@tied
@ways
def test_the_plain_model_computes_what_was_learned(make_learner, batch, way, tied):
    learner = make_learner(way, tied)
    names = set(values(learner.model)) if way == "full" else None
    reached = learn(learner, batch)
    plain = learner.merged().eval()
    assert type(plain).__name__ == "LlamaForCausalLM"
    assert not any("lora" in name or "adapter" in name or "delta" in name for name in values(plain))
    assert names is None or set(values(plain)) == names
    assert float(ResponseLoss(plain, bfloat16=False)(*batch).detach()) == pytest.approx(reached, rel=1e-5)
    assert (plain.lm_head.weight is plain.model.embed_tokens.weight) == tied


@tied
@ways
def test_only_what_shall_learn_changes_and_the_rest_not_by_a_bit(make_learner, make_model, batch, way, tied):
    before = values(make_model(25, tie_word_embeddings=tied))
    learner = make_learner(way, tied)
    learn(learner, batch)
    after = values(learner.merged())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    linears = {name for name in before if "_proj.weight" in name}
    expected = {
        "full": set(before),
        "new-rows": set(TABLES),
        "lora-all": linears | set(TABLES),
        "lora-new-rows": linears | set(TABLES),
    }
    assert changed == expected[way]


@tied
@pytest.mark.parametrize("way", ["new-rows", "lora-new-rows"])
def test_of_the_tables_only_the_code_tokens_rows_change(make_learner, make_model, batch, way, tied):
    before = values(make_model(25, tie_word_embeddings=tied))
    learner = make_learner(way, tied)
    learn(learner, batch)
    after = values(learner.merged())
    for name in TABLES:
        rows = (before[name] != after[name]).any(dim=1).nonzero().flatten().tolist()
        assert rows
        assert set(rows) <= set(range(FIRST, FIRST + ROWS))


@tied
def test_new_rows_alone_have_gradients_and_an_optimizers_state(make_learner, tied):
    learned, _ = total_parameters(make_learner("new-rows", tied).model)
    assert learned == ROWS * 32 * (1 if tied else 2)


@tied
@ways
def test_new_rows_learn_as_if_at_a_rate_so_many_times_as_high(make_learner, batch, way, tied):
    def after_a_step(rate, factor):
        torch.manual_seed(0)  # the adapters' first values
        learner = make_learner(way, tied)
        optimizer = torch.optim.AdamW(learner.parameters, lr=rate, weight_decay=0.1)
        ResponseLoss(learner.model, bfloat16=False)(*batch).backward()
        found = learner.new_rows(learner.model)
        assert len(found) == (1 if tied else 2)
        with scaled_update(found, factor):
            optimizer.step()
        return values(learner.merged())

    slow, fast, mixed = after_a_step(1e-3, 1.0), after_a_step(5e-3, 1.0), after_a_step(1e-3, 5.0)
    new = slice(FIRST, FIRST + ROWS)
    for name in slow:
        if name in TABLES:
            assert (mixed[name][new] != slow[name][new]).any()
            torch.testing.assert_close(mixed[name][new], fast[name][new])
            mixed[name][new] = slow[name][new]
        assert torch.equal(mixed[name], slow[name])


def test_a_recommenders_rows_are_not_new(make_model):
    learner = Learner(
        Start(make_model(25), None, PromptText("", "", ""), FIRST, ROWS, trained=True), WAYS["full"], in_bfloat16=False
    )
    assert learner.new_rows(learner.model) == []


def test_what_learns_is_float32_and_the_result_has_the_bases_type(make_learner, batch):
    learner = make_learner("lora-all", True, torch.bfloat16, in_bfloat16=True)
    assert {weight.dtype for weight in learner.parameters} == {torch.float32}
    assert {weight.dtype for weight in learner.model.parameters() if not weight.requires_grad} == {torch.bfloat16}
    assert {weight.dtype for weight in learner.merged().parameters()} == {torch.bfloat16}


@ways
@pytest.mark.parametrize("in_bfloat16", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_base_of_half_precision_learns_and_what_is_frozen_keeps_its_bits(
    make_learner, make_model, batch, way, dtype, in_bfloat16
):
    before = values(make_model(25).to(dtype))
    learner = make_learner(way, True, dtype, in_bfloat16=in_bfloat16)
    loss = ResponseLoss(learner.model, bfloat16=in_bfloat16)
    optimizer = torch.optim.AdamW(learner.parameters, lr=1e-2)
    first = loss(*batch)
    first.backward()
    optimizer.step()
    assert loss(*batch) < first
    after = values(learner.merged())
    assert {value.dtype for value in after.values()} == {dtype}
    frozen = {"full": 0, "new-rows": FIRST, "lora-all": 0, "lora-new-rows": FIRST}[way]
    assert torch.equal(after[TABLES[0]][:frozen], before[TABLES[0]][:frozen])


def test_adapters_without_peft_are_refused_in_words(monkeypatch):
    monkeypatch.setattr("lcrec.finetune.learning.find_spec", lambda name: None)
    with pytest.raises(FineTuningError, match=r"learning: lora needs PEFT.*odllm\[finetune\]"):
        require_peft(WAYS["lora-all"])
    require_peft(WAYS["full"])
