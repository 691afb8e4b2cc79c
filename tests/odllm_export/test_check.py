"""The mobile checker's verdict, and the memory estimate against a run."""

import onnx
import pytest
from onnxruntime.tools.mobile_helpers import usability_checker

from lcrec.catalog import read_catalog
from mobile_bench.host import measure_memory
from odllm_export.bundle import CATALOG, GRAPH, read_manifest
from odllm_export.check import check_bundle
from odllm_export.errors import BundleError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.memory_estimate import estimate_memory
from odllm_export.mobile_checker import mobile_verdict


@pytest.fixture
def export(make_model_folder, make_dataset, tmp_path):
    def make(precision="fp32"):
        folder, _ = make_model_folder()
        export_bundle(folder, make_dataset(), tmp_path / precision, ExportOptions(num_beams=12, precision=precision))
        return tmp_path / precision

    return make


@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic"])
def test_the_estimate_is_honest_for_a_small_bundle(export, precision):
    folder = export(precision)
    estimated, measured = read_manifest(folder).expected_peak_memory_bytes, measure_memory(folder).peak_memory_bytes
    assert 0.8 <= estimated / measured <= 2


def test_the_parts_add_up_to_the_manifests_figure(export):
    found = check_bundle(export())
    parts = {name: getattr(found.memory, name) for name in found.memory.__struct_fields__}
    assert found.load_bytes == sum(parts.values()) - parts["kv_cache"] - parts["activations"]
    assert found.run_bytes == sum(parts.values()) - parts["weights"]  # repacked: the stored ones are gone
    assert found.expected_peak_memory_bytes == max(found.load_bytes, found.run_bytes)


def test_weights_count_once_where_they_stay_in_the_file(export):
    folder = export("int8-dynamic")
    estimate = estimate_memory(read_manifest(folder), read_catalog(folder / CATALOG))
    assert estimate.repacked == 0
    assert estimate.run == estimate.load + estimate.kv_cache + estimate.activations


def test_the_mobile_checker_says_the_same_without_the_weights_bytes(export):
    folder = export()
    found = mobile_verdict(onnx.load(folder / GRAPH, load_external_data=False))
    assert found.usable == usability_checker.analyze_model(folder / GRAPH, skip_optimize=True)
    assert len(found.verdicts) == 6
    assert set(found.verdicts.values()) == {"NO"}
    assert any("Unsupported ops" in line and "Attention" in line for line in found.log)


def test_what_the_mobile_checker_cannot_read_is_told():
    opaque = '<ir_version: 10, opset_import: ["ours" : 1]> g (float[2] x) => (float[2] z) '
    found = mobile_verdict(onnx.parser.parse_model(opaque + "{ y = ours.One (x)  z = ours.Other (y) }"))
    assert found.usable is None
    assert found.failure.startswith("AttributeError: ")


def test_a_damaged_bundle_is_refused(export):
    folder = export()
    (folder / GRAPH).write_bytes((folder / GRAPH).read_bytes() + b"\0")
    with pytest.raises(BundleError, match="bytes"):
        check_bundle(folder)
