import pytest

from compression.allocation import Budget, plan_ranks
from compression.errors import RankError
from compression.pipeline import dense_shapes, unit_shapes
from compression.plan_file import PlanAllocation, PlanBudget, make_plan_file, plan_for_model, read_plan, write_plan
from odllm_artifact import ArtifactError, read_json, write_json

UP = "model.layers.0.mlp.up_proj"


@pytest.fixture
def plan(llama):
    return plan_ranks(dense_shapes(llama), Budget(0.5))


@pytest.fixture
def path(llama, plan, tmp_path):
    budget = PlanBudget("parameters", 0.5, plan.parameters_before, plan.parameters_after)
    write_plan(make_plan_file(llama, plan, budget, PlanAllocation("uniform")), tmp_path / "plan.json")
    return tmp_path / "plan.json"


def edit(path, change):
    content = read_json(path)
    change(content)
    write_json(path, content)


def test_a_plan_survives_its_file(llama, plan, path):
    assert plan_for_model(read_plan(path), llama, path) == plan


def test_a_plan_edited_by_hand_counts(llama, plan, path):
    edit(path, lambda content: content["ranks"].update({UP: "dense", "model.layers.1.mlp.up_proj": 3}))
    edited = plan_for_model(read_plan(path), llama, path)
    assert UP not in edited.ranks
    assert edited.ranks["model.layers.1.mlp.up_proj"] == 3
    assert edited.achieved_keep_ratio != plan.achieved_keep_ratio


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["ranks"].update({"model.layers.0.mlp.up": 4}), r"mlp\.up is unknown \(did you mean model\.layers"),
        (lambda c: c["ranks"].pop(UP), rf"{UP} has no rank\. Name every"),
        (lambda c: c["ranks"].update({UP: 20}), r"has rank 20, expected 1 to 19\. Above that the factors are larger"),
        (lambda c: c["ranks"].update({UP: 0}), "has rank 0, expected 1 to 19"),
        (lambda c: c["ranks"].update({UP: 3.5}), r"\$\.ranks.* A rank is a whole number, or \"dense\""),
        (lambda c: c["ranks"].update({UP: "sparse"}), r"A rank is a whole number, or \"dense\""),
        (
            lambda c: c["shapes"].update({UP: [49, 32]}),
            r"up_proj is \[48, 32\] in the model and \[49, 32\] in the plan",
        ),
        (lambda c: c["model"].update(config_sha256="0" * 64), r"made for a model of another configuration .* to null"),
        (lambda c: c.update(schema_version=7), r"schema_version is 7, expected 1\. Make one with"),
        (lambda c: c.update(ranked={}), "unknown field `ranked`"),
    ],
)
def test_a_plan_that_does_not_fit_says_why(llama, path, change, message):
    edit(path, change)
    with pytest.raises(RankError, match=message):
        plan_for_model(read_plan(path), llama, path)


def test_a_plan_without_a_hash_fits_every_model_of_its_shapes(llama, plan, path):
    edit(path, lambda content: content["model"].update(config_sha256=None))
    assert plan_for_model(read_plan(path), llama, path) == plan


def test_a_plan_for_a_larger_model_is_refused(make_llama, path):
    with pytest.raises(RankError, match=r"model\.layers\.2\.self_attn\.q_proj has no rank.* and 3 more"):
        plan_for_model(read_plan(path), make_llama(num_hidden_layers=3), path)


def test_damaged_json_is_named(path):
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ArtifactError, match="is not valid JSON"):
        read_plan(path)


def test_a_plan_says_itself_whether_input_factors_are_shared(llama, tmp_path):
    plan = plan_ranks(unit_shapes(llama, shared=True), Budget(0.5))
    budget = PlanBudget("parameters", 0.5, plan.parameters_before, plan.parameters_after)
    path = tmp_path / "plan.json"
    write_plan(make_plan_file(llama, plan, budget, PlanAllocation("uniform")), path)
    assert plan.stacked
    assert plan_for_model(read_plan(path), llama, path) == plan
