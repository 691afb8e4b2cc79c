import copy
import os
import socket
import subprocess
import sys

import pytest
import torch
from model_weights import weights
from safetensors.torch import load_file

from compression.calibration import CalibrationBatch
from compression.checkpoint import save_model
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig


def test_accumulated_batches_are_one_larger_batch(pair, make_batches):
    """Batches of equally many tokens: the mean of their gradients is the gradient of their mean."""
    student, teacher = pair
    twin = copy.deepcopy(student)
    small = make_batches((10,) * 8, size=4)
    ids = torch.cat([batch.input_ids for batch in small])
    large = [CalibrationBatch(ids, torch.ones_like(ids))]
    report = recover(student, teacher, small, RecoveryConfig(max_steps=3, accumulation=2))
    recover(twin, teacher, large, RecoveryConfig(max_steps=3))
    assert (report.steps, report.tokens) == (3, 240)
    for name, tensor in weights(student).items():
        torch.testing.assert_close(tensor, weights(twin)[name], atol=1e-4, rtol=1e-3)


PROCESS = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from compression.calibration import CalibrationBatch
from compression.checkpoint import load_model
from compression.processes import is_first_process, joined_processes
from compression import recovery
from compression.recovery import recover
from compression.recovery_config import RecoveryConfig
torch.set_num_threads(1)
folder = Path(sys.argv[1])
student, teacher = load_model(folder / "student"), load_model(folder / "teacher")
ids = torch.load(folder / "ids.pt")
batches = [CalibrationBatch(part, torch.ones_like(part)) for part in ids.split(4)]
config = RecoveryConfig(max_steps=4, validations=1)
with joined_processes():
    scores = iter((1.0, 2.0) if is_first_process() else ())  # only the first process validates
    report = recover(student, teacher, batches, config, validate=lambda _: [next(scores)])
    name = "first" if is_first_process() else "second"
assert (report.processes, report.tokens, report.best_step) == (2, 4 * 8 * 10, 4), report
save_file({k: v.clone() for k, v in student.state_dict().items() if "_factor" in k}, folder / f"{name}.safetensors")
"""


@pytest.mark.timeout(600)  # two processes load torch and transformers
def test_two_processes_take_the_steps_of_one_with_both_their_batches(pair, make_batches, tmp_path):
    student, teacher = pair
    save_model(student, tmp_path / "student")
    save_model(teacher, tmp_path / "teacher")
    (whole,) = make_batches((10,) * 8)
    torch.save(whole.input_ids, tmp_path / "ids.pt")
    (tmp_path / "process.py").write_text(PROCESS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    facts = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    facts |= {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}
    running = [
        subprocess.Popen(
            [sys.executable, tmp_path / "process.py", tmp_path],
            env=os.environ | facts | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=500)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    recover(student, teacher, [CalibrationBatch(whole.input_ids, whole.attention_mask)], RecoveryConfig(max_steps=4))
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
        torch.testing.assert_close(tensor, weights(student)[name], atol=1e-4, rtol=1e-3)
