import json

import pytest

from lcrec.dataset import save_dataset


@pytest.fixture
def inputs(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    save_dataset(make_dataset(), tmp_path / "data")
    return folder, tmp_path / "data", tmp_path / "out"


def test_a_processor_is_written_and_described(odllm, inputs):
    model, dataset, out = inputs
    code, printed, _ = odllm("export-processor", model, "--dataset", dataset, "--out", out, "--end-token", 3, "--json")
    assert code == 0
    facts = json.loads(printed)
    assert facts["end_token"] == 3
    assert {path.name for path in out.iterdir()} == {*facts["files"], "processor.json"}


def test_a_decoder_gets_the_processor_behind_it(odllm, inputs, tmp_path):
    from odllm_export.decoder_form import export_decoder

    model, dataset, out = inputs
    export_decoder(model, tmp_path / "decoder")
    behind = tmp_path / "decoder" / "model.onnx"
    code, _, err = odllm("export-processor", model, "--dataset", dataset, "--out", out, "--behind", behind)
    assert code == 0
    assert "model.onnx.data" in err
    assert "60 items in 3 levels" in " ".join(err.split())  # however wide the terminal is


def test_words_and_exit_code_for_a_decoder_that_is_not_there(odllm, inputs):
    model, dataset, out = inputs
    code, _, err = odllm("export-processor", model, "--dataset", dataset, "--out", out, "--behind", out / "no.onnx")
    assert code == 2
    assert "cannot read" in err
    assert not out.exists()
