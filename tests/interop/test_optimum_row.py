"""The benchmark's row of optimum: its own export of the benchmark's model, searched by transformers' `generate`."""

import numpy as np
import pytest
import torch

pytest.importorskip("optimum.onnxruntime", reason="optimum-onnx has an environment of its own: make interop")

from mobile_bench.baselines.models import dense_model
from mobile_bench.baselines.optimum_job import export
from mobile_bench.baselines.runners import GenerateRunner, optimum_runner
from mobile_bench.baselines.workload import Workload, find_shape

pytestmark = pytest.mark.interop


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_row_of_optimum_gives_transformers_lists(tmp_path):
    workload = Workload(find_shape("tiny"), 3)
    model = dense_model(workload.shape)
    model.save_pretrained(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "optimum")
    reference = GenerateRunner(model, workload, reads_all=False)
    runner = optimum_runner(tmp_path / "optimum", workload)
    for number, prompt in enumerate(workload.prompts):
        (rows, scores), (expected_rows, expected_scores) = runner.ranked(number), reference.ranked(number)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-4)
        ids = torch.as_tensor(prompt)[None]
        logits = runner.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        assert logits.shape[1] == len(prompt)  # of all tokens: what the row's operations are counted by
        assert runner.work(number).products > reference.work(number).products
