import json

import pytest

from odllm_export.export import ExportOptions, export_bundle


@pytest.fixture
def small_bundle(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    export_bundle(folder, make_dataset(), tmp_path / "small", ExportOptions(num_beams=12))
    return tmp_path / "small"


def test_a_person_reads_expectations_verdict_and_memory(odllm, small_bundle):
    code, shown, _ = odllm("check", small_bundle, "--provider", "qnn", "--no-run")
    assert code == 0
    assert "expectation from documentation, not a measurement; `odllm bench --provider` is the verdict" in shown
    for words in ("XNNPACK: from", "not documented", "Not expected on QNN", "mobile usability checker", "not run"):
        assert words in shown


def test_a_machine_reads_the_same_with_the_measured_peak(odllm, small_bundle):
    code, shown, _ = odllm("check", small_bundle, "--json")
    assert code == 0
    found = json.loads(shown)
    assert [one["provider"] for one in found["expectations"]][:2] == ["cpu", "xnnpack"]
    assert found["measured"]["peak_memory_bytes"] > found["memory"]["weights"]
    assert found["memory_ratio"] == found["expected_peak_memory_bytes"] / found["measured"]["peak_memory_bytes"]


def test_an_unknown_provider_is_named(odllm, small_bundle):
    code, _, complaint = odllm("check", small_bundle, "--provider", "gpu")
    assert code == 2
    assert "cpu, xnnpack" in complaint.replace("\n", " ")
