"""One quick run of the whole demo, shared by all tests of the program, and a way to call the program."""

import os
import shutil
import signal
import sys

import pytest
from filelock import FileLock

import odllm.__main__ as program


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_works():
    """A shell's background jobs ignore Ctrl-C, and so does what they start: CI may run there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory):
    """The demo with toy settings; made once, also when several test processes want it."""
    from odllm.demo import Demo
    from odllm.demo_folder import QUICK

    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    out = shared / "quick-demo"
    with FileLock(str(out) + ".lock"):
        Demo(out, QUICK).run()
    return out


@pytest.fixture
def bundle(demo_run, tmp_path):
    """A copy of the compressed bundle, free to be damaged."""
    return shutil.copytree(demo_run / "bundles" / "compressed", tmp_path / "bundle")


@pytest.fixture
def make_base(tmp_path):
    """Write a tiny pretrained language model that knows the default prompts' words."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from lcrec.prompt import PromptText
    from lcrec.tokenizer import build_tokenizer

    def make(model_type="llama"):
        tokenizer = build_tokenizer(PromptText("<s> The user has chosen , in this order :", ",", ". Next :"), ())
        config = AutoConfig.for_model(
            model_type,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            vocab_size=len(tokenizer),
            initializer_range=0.2,
            bos_token_id=2,
            eos_token_id=None,
            pad_token_id=0,
        )
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "pretrained")
        tokenizer.save_pretrained(tmp_path / "pretrained")
        return tmp_path / "pretrained"

    return make


@pytest.fixture
def odllm(monkeypatch, capsys):
    """Call the program in this process; return exit code, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["odllm", *map(str, arguments)])
        code = 0
        try:
            program.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def study_case(tmp_path, make_dataset, make_model_folder):
    """A dense recommender's folder with random weights, and the folder of a dataset that it speaks."""
    from lcrec.dataset import save_dataset

    save_dataset(make_dataset(users=40), tmp_path / "dataset")
    model, _ = make_model_folder("dense")
    return model, tmp_path / "dataset"
