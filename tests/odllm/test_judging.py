import numpy as np
import pytest
import torch

from lcrec.evaluate import dataset_catalog, evaluate, model_ranker
from odllm import judging
from odllm.judging import validation_ndcg, validation_surprise


@pytest.fixture
def case(make_dataset, make_model, make_prompt):
    prompt = make_prompt()
    return make_dataset(), prompt, make_model(prompt.first_code_token + prompt.code_rows + 3)


def test_surprise_is_that_of_every_code_among_those_that_lead_to_an_item(case, monkeypatch):
    monkeypatch.setattr(judging, "TEMPERATURES", (1.0,))
    dataset, prompt, model = case
    split, codes = dataset.split(), dataset.require_codes().codes
    offsets = np.cumsum((0, *prompt.code_sizes[:-1])) + prompt.first_code_token
    surprises = []
    for history, target in zip(split.validation_history, split.validation_target, strict=True):
        tokens = prompt.encode(codes[history[-prompt.max_items :]]).tolist()
        surprise = 0.0
        for level, code in enumerate(codes[target]):
            there = codes[(codes[:, :level] == codes[target, :level]).all(axis=1), level]
            legal = np.unique(there) + offsets[level]
            with torch.no_grad():
                logits = model(torch.tensor([tokens])).logits[0, -1]
            surprise -= float(logits[code + offsets[level]] - logits[torch.from_numpy(legal)].logsumexp(0))
            tokens.append(int(code + offsets[level]))
        surprises.append(surprise)
    assert len(surprises) > 5
    assert sorted(validation_surprise(dataset, prompt)(model)) == pytest.approx(sorted(surprises), rel=1e-4)


def test_ndcg_is_that_of_the_evaluation(case):
    dataset, prompt, model = case
    split = dataset.split()
    ranker = model_ranker(model, prompt, dataset_catalog(dataset), num_beams=10)
    found = evaluate(ranker, split.validation_history, split.validation_target, dataset.require_codes().codes)
    assert np.mean(validation_ndcg(dataset, prompt)(model)) == pytest.approx(found.summary()["ndcg@10"])


def test_a_model_that_is_only_more_or_less_sure_of_itself_costs_the_same(case, monkeypatch):
    dataset, prompt, model = case
    monkeypatch.setattr(judging, "TEMPERATURES", tuple(2 ** (i / 4) for i in range(-8, 40)))  # random logits: far off
    judge = validation_surprise(dataset, prompt)
    before = judge(model)
    with torch.no_grad():
        model.model.norm.weight /= 2**0.75  # the logits follow
    assert judge(model) == pytest.approx(before, rel=1e-4)
