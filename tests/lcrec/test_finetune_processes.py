"""Fine-tuning by two processes on the CPU, of the same steps as by one; with the files that GPUs are launched with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import debug_launcher
from accelerate.state import AcceleratorState
from finetuning import make_job, write_base
from safetensors.torch import load_file

from lcrec.dataset import save_dataset
from lcrec.finetune.run import fine_tune
from lcrec.pretrained import load_pretrained

CONFIGS = Path(__file__).parents[2] / "configs" / "accelerate"
RECIPE = """
learning_rate: 3e-3
epochs: 2
batch_tokens: 400
device_tokens: 200
validation_users: 20
precision: fp32
lora_dropout: 0.0
"""
FINETUNE = ("-m", "odllm", "finetune")
LAUNCH = ("-m", "accelerate.commands.launch", "--config_file")


def assert_equal_up_to_rounding(one, two, folder_one, folder_two):
    assert two["processes"] == 2
    for left, right in zip(one["history"], two["history"], strict=True):
        assert right == pytest.approx(left, rel=1e-5)
    values, others = (load_file(folder / "model.safetensors") for folder in (folder_one, folder_two))
    assert values.keys() == others.keys()
    for name, value in values.items():
        torch.testing.assert_close(others[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork")  # no thread of ours runs meanwhile
@pytest.mark.parametrize(
    "changes",
    [{}, {"metric": "ndcg", "validation_users": 1, "max_steps": 1}],
    ids=["loss decides", "fewer users than processes are searched for"],
)
def test_two_processes_take_the_steps_of_one(make_dataset, tmp_path, monkeypatch, changes):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # Accelerate wants to be told
    job = make_job(write_base(tmp_path / "base"), make_dataset(users=40), **changes)
    one = fine_tune(job, tmp_path / "one", facts={"name": "toy"})
    debug_launcher(_write_report, (job, tmp_path), num_processes=2)
    two = json.loads((tmp_path / "two.json").read_text())
    assert_equal_up_to_rounding(one, two, tmp_path / "one", tmp_path / "two")


def _write_report(job, folder):
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)  # the parent's, of one process
    report = fine_tune(job, folder / "two", facts={"name": "toy"})
    if report:
        (folder / "two.json").write_text(json.dumps(report))


@pytest.fixture
def case(make_dataset, tmp_path):
    """A base, a dataset and a recipe on the disk; a function that runs a program and returns what it printed."""
    save_dataset(make_dataset(users=40), tmp_path / "data")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    base = write_base(tmp_path / "base", tie_word_embeddings=False)
    arguments = (base, "--dataset", str(tmp_path / "data"), "--config", str(tmp_path / "recipe.yaml"), "--json")

    def call(*program, out, options=()):
        command = [sys.executable, *program, *arguments, "--out", str(out), *options]
        result = subprocess.run(command, capture_output=True, text=True, cwd=CONFIGS.parents[1], check=False)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [(), ("--learning", "lora", "--embeddings", "new-rows"), ("--gradient-checkpointing",)]
)
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_the_launchers_files_give_what_one_process_gives(case, tmp_path, kind, options):
    one = case(*FINETUNE, out=tmp_path / "one", options=options)
    two = case(*LAUNCH, str(CONFIGS / f"{kind}.yaml"), *FINETUNE, out=tmp_path / "two", options=options)
    assert_equal_up_to_rounding(one, two, tmp_path / "one", tmp_path / "two")
    model, tokenizer = load_pretrained(str(tmp_path / "two"))
    assert model.config.vocab_size == len(tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_run_of_two_processes_is_gone_on_with_by_one(case, tmp_path, kind):
    whole = case(*FINETUNE, out=tmp_path / "whole")
    command = [sys.executable, *LAUNCH, str(CONFIGS / f"{kind}.yaml"), *FINETUNE, str(tmp_path / "base"), "--dataset"]
    command += [str(tmp_path / "data"), "--config", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out")]
    (tmp_path / "killer.py").write_text(KILLER)
    command[command.index("-m", 4) : command.index("finetune")] = [str(tmp_path / "killer.py")]
    assert subprocess.run(command, capture_output=True, cwd=CONFIGS.parents[1], check=False).returncode != 0
    assert list((tmp_path / "out.partial" / "checkpoints").glob("step-*"))
    resumed = case(*FINETUNE, out=tmp_path / "out")
    for left, right in zip(whole["history"], resumed["history"], strict=True):
        assert right == pytest.approx(left, rel=1e-5)


KILLER = '''
"""`odllm` whose processes are killed once their second epoch has begun."""
import os, signal
from lcrec.finetune.checkpoints import Checkpoints

save = Checkpoints.save

def save_and_die(self, steps, state):
    save(self, steps, state)
    os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.save = save_and_die
from odllm.__main__ import main
main()
'''
