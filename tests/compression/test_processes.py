"""Compressions in real processes: killed at any moment, or several at one."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from compression.checkpoint import load_model, save_model
from compression.errors import CalibrationError
from compression.lowrank import factored_linears
from compression.processes import from_first_process, is_first_process, local_device, process_count, share_of

WORKER = Path(__file__).with_name("compress_worker.py")


def start(source, out, **environment):
    root = str(WORKER.parents[2])
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(source), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **environment},
    )


def finish(*processes):
    for process in processes:
        _, words = process.communicate(timeout=600)
        assert process.returncode == 0, words


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def dense(make_llama, tmp_path):
    save_model(make_llama(num_hidden_layers=4, hidden_size=64, intermediate_size=160), tmp_path / "dense")
    return tmp_path / "dense"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_again_and_again_ends_with_the_bits_of_one_that_was_not(dense, tmp_path):
    finish(start(dense, tmp_path / "whole"))
    moments = random.Random()
    killed = 0
    for heard in (1, 2, 3, 4, 5):  # lines a run may say before it is killed, a random moment later
        process = start(dense, tmp_path / "killed")
        for _ in range(heard):
            process.stdout.readline()
        time.sleep(moments.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if (tmp_path / "killed").exists():
            break
        assert not (tmp_path / "killed").exists()
    assert killed
    if not (tmp_path / "killed").exists():
        finish(start(dense, tmp_path / "killed"))
    whole, resumed = bytes_of(tmp_path / "whole"), bytes_of(tmp_path / "killed")
    assert whole == resumed


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_processes_find_the_factors_of_one(dense, tmp_path):
    finish(start(dense, tmp_path / "one"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    finish(*(start(dense, tmp_path / "two", RANK=rank, LOCAL_RANK=rank, **meeting) for rank in "01"))
    one, two = (load_model(tmp_path / name) for name in ("one", "two"))
    assert factored_linears(one).keys() == factored_linears(two).keys()
    for name, layer in factored_linears(one).items():
        other = two.get_submodule(name)
        assert layer.rank == other.rank
        torch.testing.assert_close(layer.dense_weight(), other.dense_weight(), rtol=1e-4, atol=1e-5)
    assert not (tmp_path / "two.partial").exists()


def test_without_a_launcher_there_is_one_process():
    assert (process_count(), is_first_process()) == (1, True)
    assert share_of([1, 2, 3]) == [1, 2, 3]
    assert from_first_process("value") == "value"
    assert local_device("cpu") == torch.device("cpu")


def test_each_process_takes_every_nth_batch_and_none_goes_without(monkeypatch):
    monkeypatch.setattr("compression.processes.process_count", lambda: 2)
    monkeypatch.setattr("compression.processes.distributed.get_rank", lambda: 1)
    assert share_of(["a", "b", "c"]) == ["b"]
    with pytest.raises(CalibrationError, match=r"1 calibration batches for 2 processes\. Give more sequences, or"):
        share_of(["a"])
